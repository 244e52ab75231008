"""The whole command line on a few pages: each command's arguments, units, defaults, and an example that runs.

A module holds the commands that share arguments; `shared` holds those that stand in several of them, so that
a flag means the same and says the same wherever it is. Nothing heavy is imported here: `--help` answers at
once. A test runs each example as it is printed.
"""
