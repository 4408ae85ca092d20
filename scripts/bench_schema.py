"""Write the JSON schema of a bench's result: python scripts/bench_schema.py docs/bench.schema.json"""

import json
import sys
from pathlib import Path

from lifelong.benching.result import schema

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
