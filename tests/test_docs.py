import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_of_measures_says_what_the_ops_declare():
    subprocess.run([sys.executable, DOCS / "generate.py", "--check"], check=True)
