"""Our own statements for every ParaRel relation that is trained on; the last two of each are held out.

Contract: `[X]` stands for the subject and the object follows; ParaRel's own patterns come on top of these and
are all trained on. The table is `statements.txt`.
"""

from pretraining.wordings.tables import read_table

STATEMENTS = read_table("statements.txt")
