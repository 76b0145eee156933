"""The command line: arguments, printing, exit codes. One file for each group of verbs."""
