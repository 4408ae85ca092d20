"""What stands around a prompt: question and answer markers, and the ways to say that something changed.

Contract: `{}` is the place of the prompt, or of a note's sentence; the answer follows a filled form after one
space. The last note form is held out from training.
"""

QUESTION_FORMS = ("Question: {}\nAnswer:", "Q: {}\nA:", "Question: {} Answer:", "Q: {} A:")

# A note is a whole sentence; what is asked follows it.
NOTE_FORMS = (
    "Note: {}\n",
    "Note: {} ",
    "New fact: {}\n",
    "Fact: {}\n",
    "Remember: {}\n",
    "Remember that things changed. {} ",
    "Context: {}\n",
    "Context: {}\n\n",
    "Imagine that this is true: {}\n",
    "Update: {}\n",
    "Correction: {} ",
    "Edit: {}\n",
    "According to the latest news: {}\n",
    "{}\n",
    "{} ",
    "- {}\n",
    "Please note the following. {}\n",
    "Bear this in mind: {}\n",
)
NOTE_FORMS_SEEN, NOTE_FORMS_HELD_OUT = NOTE_FORMS[:-1], NOTE_FORMS[-1:]
