"""`python -m trainyard`: the same as the command `trainyard`."""

from trainyard.cli.main import main

main()
