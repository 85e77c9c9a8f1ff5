"""``python -m audiocur`` is the command."""

import sys

from audiocur.cli import main

sys.exit(main())
