"""``python -m dovestorm``."""

from dovestorm.cli import main

main()
