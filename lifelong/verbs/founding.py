"""`lifelong.init`: a new workspace, and what its configuration says of its model.

That is: where experts stand, and whether prompts are turns of a conversation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from editlog.errors import UsageError
from editlog.events import Entry
from editlog.store import EditLog
from lifelong.config import Config, Dtype, read_recipe
from lifelong.files import write_atomically
from lifelong.layout import Layout, resolve_home
from lifelong.models.base import EMBEDDED, Base
from lifelong.models.placement import is_map
from lifelong.snapshots.publishing import catch_up
from lifelong.verbs.probing import Choice, Trial
from lifelong.verbs.probing import preset as place_of
from lifelong.verbs.probing import probe as probe_places
from lifelong.workspace import Workspace, default_actor

PROBED_EDITORS = ("lora",)
"""Editors whose place is the user's to choose; the others' recipes say it themselves."""

SPREADABLE_EDITORS = ("lora",)
"""Editors whose experts are trained beside their sites, wherever those compute; the others' stay on one device."""


def init(
    home: Path | str | None = None,
    *,
    model: str = EMBEDDED,
    recipe: str = "default",
    corpus: Path | None = None,
    device: str = "cpu",
    dtype: Dtype = "float32",
    trust_remote_code: bool = False,
    chat: bool | None = None,
    preset: str | None = None,
    probe: bool = True,
    told: Callable[[Trial], None] | None = None,
    actor: str | None = None,
    dry_run: bool = False,
) -> Workspace:
    """Make a workspace: configuration, log, the base's fingerprint as an event, and an empty snapshot.

    `corpus` is text, a line each, of which a recipe learns what it must know of the base (None: what the base writes).
    For another model than the embedded one, `probe` tries on a few facts where experts should stand, and writes that
    into the configuration (`told` hears of each trial); `preset` names the place instead. `chat` (None: where the
    model has a chat template) puts prompts through that template. Raises UsageError where there already is a
    workspace, where model, recipe, corpus, preset or device cannot be had, or where the model is no decoder.
    """
    layout = Layout(resolve_home(home))
    if layout.config.exists():
        raise UsageError(f"there already is a workspace at {layout.home}; choose another place with --home")
    read_recipe(recipe, layout)
    config = Config(
        model=model,
        recipe=recipe,
        corpus=str(corpus.absolute()) if corpus else None,
        device=str(Path(device).absolute()) if is_map(device) else device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    workspace = Workspace(layout, config)
    base = workspace.load_base()
    if base.reads_ahead():
        raise UsageError(
            f"{model} lets a token see what comes behind it, as encoders do; lifelong edits decoders (causal language"
            " models)"
        )
    config, choice = _suited(base, config, layout, chat=chat, preset=preset, probe=probe, told=told)
    workspace.config, workspace.choice = config, choice
    workspace.corpus.digest()
    if dry_run:
        return workspace
    who = actor or default_actor()
    if layout.log.exists():
        raise UsageError(f"{layout.log} holds a log but {layout.config} is missing; restore it or use another --home")
    EditLog.create(layout.log, actor=who)
    log = workspace.log
    attached = {"fingerprint": base.fingerprint, "model": model, "dtype": config.dtype}
    log.append([Entry("base.attached", attached)], actor=who)
    catch_up(layout, log, workspace.recipe)
    write_atomically(layout.config, config.to_toml().encode())
    return workspace


def _suited(
    base: Base,
    config: Config,
    layout: Layout,
    *,
    chat: bool | None,
    preset: str | None,
    probe: bool,
    told: Callable[[Trial], None] | None,
) -> tuple[Config, Choice | None]:
    """The configuration for this base, and what was chosen for it."""
    base.use_chat(base.has_chat_template if chat is None else chat)
    recipe = read_recipe(config.recipe, layout)
    computing = set(base.devices) - {"cpu", "disk"}  # from there accelerate fetches weights to where they are used
    if len(computing) > 1 and recipe.editor not in SPREADABLE_EDITORS:
        raise UsageError(
            f"the base is spread over {', '.join(sorted(computing))}, and the editor {recipe.editor} works on one; use"
            " the recipe default, one device, or a device map of one GPU with cpu or disk beside it"
        )
    choice: Choice | None = None
    if preset is not None:
        choice = place_of(base, preset)
    elif probe and config.model != EMBEDDED and recipe.editor in PROBED_EDITORS:
        choice = probe_places(base, recipe, told=told)
    overrides = choice.overrides if choice else {}
    return config.model_copy(update={"chat": base.chat, "overrides": overrides}), choice
