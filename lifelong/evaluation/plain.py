"""The base by plain transformers, in a process of its own: no module of ours is imported here.

Run as a script by `reference.PlainBase`: one JSON request on standard input, one JSON line for each batch of prompts
on standard output, with each row's greedy answer and the SHA-256 of the logits of the token after its prompt.
"""

import hashlib
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging


def rendered(tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    """A prompt as the one message of a user, through the chat template, up to where the answer begins."""
    messages = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


@torch.no_grad()
def main() -> None:
    """Answer the request."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    tokenizer = AutoTokenizer.from_pretrained(request["model"], trust_remote_code=False, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(
        request["model"], dtype=getattr(torch, request["dtype"]), use_safetensors=True, trust_remote_code=False
    )
    model = model.to(request["device"]).eval()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    for prompts in request["batches"]:
        texts = [rendered(tokenizer, prompt) for prompt in prompts] if request["chat"] else prompts
        # A chat template writes the special tokens itself.
        rows = tokenizer(texts, padding=True, add_special_tokens=not request["chat"], return_tensors="pt")
        rows = rows.to(model.device)
        ids, mask = rows["input_ids"], rows["attention_mask"]
        read = {"input_ids": ids, "attention_mask": mask}
        places = (mask.cumsum(-1) - 1).clamp_min(0)
        logits = model(**read, position_ids=places, logits_to_keep=1, use_cache=False).logits
        answers = model.generate(
            **read,
            do_sample=False,
            max_new_tokens=request["max_new_tokens"],
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        said = tokenizer.batch_decode(
            answers[:, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        raw = logits[:, -1].contiguous().cpu().view(torch.uint8).numpy()
        print(json.dumps({"answers": said, "logits": [hashlib.sha256(row).hexdigest() for row in raw]}), flush=True)


if __name__ == "__main__":
    main()
