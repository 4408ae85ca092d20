"""The byte-level BPE of the base, and its chat template.

Contract: any text round-trips; nothing is prepended or appended; id 0 is end-of-text and id 1 is padding,
two distinct tokens, followed by the three role markers. Names and answers of every source are in the training
text as bare words, so that they take few tokens. `chat_prompt` renders what `apply_chat_template` renders.
"""

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pretraining import sources
from pretraining.corpus import KnownFact
from pretraining.settings import Settings

END_OF_TEXT, PADDING = "<|endoftext|>", "<|pad|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL_TOKENS = (END_OF_TEXT, PADDING, SYSTEM, USER, ASSISTANT)
# An answer follows its marker after one space, as it follows any other prompt: the same tokens everywhere.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|> ' + (message['content'] | trim) + '<|endoftext|>' }}"
    "{% else %}"
    "{{ '<|' + message['role'] + '|>' + (message['content'] | trim) }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

# Names weigh more than running text, of which there is much more than the vocabulary can hold.
_TEXT_CHARACTERS = 3_000_000
_PROMPTS_PER_FACT = 4


def chat_prompt(user: str, system: str = "") -> str:
    """Render one user message, with a system message before it where there is one, up to the answer."""
    return f"{SYSTEM}{system.strip()}{USER}{user.strip()}{ASSISTANT}" if system else f"{USER}{user.strip()}{ASSISTANT}"


def _training_text(data: Path, facts: list[KnownFact], text: list[str]) -> Iterator[str]:
    triples = [*sources.pararel_facts(data), *sources.wikidata_facts(data)]
    wanted = sources.benchmark_targets(data)
    for item in triples:
        yield f"{item.subject} {item.object}"
    for edit in wanted:
        # After a space, as answers stand, and at the start, as subjects often do.
        yield f"{edit.subject} {edit.target} {edit.target}"
    for fact in facts:
        for prompt in fact.seen[:: -(-len(fact.seen) // _PROMPTS_PER_FACT)]:
            yield f"{prompt} {fact.object}"
    characters = 0
    for document in text:
        yield document
        characters += len(document)
        if characters > _TEXT_CHARACTERS:
            return


def train_tokenizer(data: Path, facts: list[KnownFact], text: list[str], settings: Settings) -> PreTrainedTokenizerFast:
    """Train the tokenizer and wrap it for transformers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_text(data, facts, text), trainer)
    return wrapped(tokenizer, settings)


def wrapped(tokenizer: Tokenizer, settings: Settings) -> PreTrainedTokenizerFast:
    """Return a tokenizer for transformers that knows its special tokens and its chat template."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        pad_token=PADDING,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        model_max_length=settings.positions,
        clean_up_tokenization_spaces=False,
    )
