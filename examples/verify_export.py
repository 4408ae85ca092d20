"""Verify an export of an edit log with Python's standard library alone (docs/FORMAT.md is the contract).

    lifelong log export edits.jsonl
    python verify_export.py edits.jsonl [sha256:HASH]

Exits 0 if every event follows from the one before it, every text is the one committed to, and the last hash
is HASH (a head you were given earlier), where you name one. Otherwise names the first bad seq and exits 1.
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fault(line: bytes, seq: int, previous: bytes) -> str | None:
    entry = json.loads(line)
    event, raw = entry["event"], canonical(entry["event"])
    if (event["v"], event["seq"]) != (1, seq):
        return f"event {event['seq']} of version {event['v']} stands here"
    if (seq == 1) != (event["kind"] == "workspace.created"):
        return "the log does not begin with workspace.created, or begins twice"
    if not line.startswith(b'{"event":' + raw + b',"hash":'):
        return "it is not canonical JSON"
    if entry["hash"] != "sha256:" + hashlib.sha256(b"lifelong/chain/v1\0" + previous + raw).hexdigest():
        return "its hash does not follow from the one before"
    if "record" in entry:
        text, secret = b"lifelong/commitment/v1\0" + canonical(entry["record"]), bytes.fromhex(entry["secret"])
        if event["body"]["commitment"] != "hmac-sha256:" + hmac.digest(secret, text, "sha256").hex():
            return "its text is not the one committed to"
    return None


def main(path: str, head: str = "") -> None:
    previous, seq = bytes(32), 0
    with Path(path).open("rb") as lines:
        for seq, line in enumerate(lines, start=1):
            try:
                wrong = fault(line, seq, previous)
                previous = bytes.fromhex(json.loads(line)["hash"].removeprefix("sha256:"))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                wrong = f"it cannot be read ({error!r})"
            if wrong:
                sys.exit(f"event {seq}: {wrong}")
    if seq == 0 or head not in ("", "sha256:" + previous.hex()):
        sys.exit(f"event {seq + 1}: missing, the export ends too early or is another log's")
    print(f"{seq} events verified, head sha256:{previous.hex()}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
