"""What static type checkers make of annotax: `cases` holds files that they read, with what they must say."""
