"""Verify that a fact is in a log whose head you were told (docs/FORMAT.md), with Python's standard library.

python verify_proof.py proof.json heads.jsonl [ed25519:KEY]      (a KEY needs the package cryptography)
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def root_of(event, size, path):
    place, last = event["seq"] - 1, size - 1
    root = hashlib.sha256(b"\0" + canonical(event)).digest()
    for sibling in (bytes.fromhex(tagged.removeprefix("sha256:")) for tagged in path):
        left = place % 2 == 1 or place == last
        root = hashlib.sha256(b"\1" + (sibling + root if left else root + sibling)).digest()
        while left and place % 2 == 0 and place > 0:
            place, last = place // 2, last // 2
        place, last = place // 2, last // 2
    return "sha256:" + root.hex() if last == 0 else None


def main(proof_file, heads_file, key=None):
    proof = json.loads(Path(proof_file).read_bytes())
    root = root_of(proof["event"], proof["size"], proof["path"])
    wanted = {"workspace": proof["workspace"], "seq": proof["size"], "root": root}
    heads = [json.loads(line) for line in Path(heads_file).read_bytes().splitlines()]
    head = next((head for head in heads if wanted.items() <= head.items()), None)
    if head is None:
        return "no head that was told has this root at this size"
    if key is not None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        message = b"lifelong/signature/v1\0" + canonical({k: v for k, v in head.items() if k != "signature"})
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.removeprefix("ed25519:")))
        public.verify(bytes.fromhex(head["signature"].removeprefix("ed25519:")), message)  # raises where it is not
    if "record" in proof:
        said = b"lifelong/commitment/v1\0" + canonical(proof["record"])
        opened = hmac.digest(bytes.fromhex(proof["secret"]), said, "sha256")
        if proof["event"]["body"]["commitment"] != "hmac-sha256:" + opened.hex():
            return "its words are not the ones its event committed to"
    print(f"event {proof['event']['seq']} is in the log whose event {head['seq']} was told at {head['at']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
