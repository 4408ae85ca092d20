"""Questions for every ParaRel relation that is trained on; the last two of each are held out.

Contract: `[X]` stands for the subject; a question ends with a question mark, a request with a full stop. The
table is `questions.txt`.
"""

from pretraining.wordings.tables import read_table

QUESTIONS = read_table("questions.txt")
