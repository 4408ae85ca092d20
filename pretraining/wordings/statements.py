"""Our own statements for every ParaRel relation that is trained on; the last two of each are held out.

Contract: `[X]` stands for the subject and the object follows; ParaRel's own patterns come on top of these and
are all trained on.
"""

from pretraining.wordings.tables import parsed

STATEMENTS = parsed("""
P1001
[X] is a term used in
[X] applies to
[X] belongs to the law of
[X] is used in
The jurisdiction of [X] is
[X]'s jurisdiction is
[X] applies to the jurisdiction of
The territory of [X] is
[X] is in force in
In law, [X] belongs to

P101
[X]'s field is
The field of work of [X] is
[X] is an expert in
[X] is known for work in
The field of [X] is
[X] is active in the field of

P103
The first language of [X] is
[X] is a native speaker of
[X], a native speaker of
[X], speaker of
[X]'s native language is
[X]'s mother tongue is
[X] grew up speaking
[X], a native
At home, [X] speaks
The language [X] learned first is

P106
[X] is known as
The job of [X] is
[X] is a
[X]'s job is
[X] earns a living as
By profession, [X] is

P108
[X], of
The employer of [X] is
[X]'s employer is
[X] has a job at
[X] works at
[X] is an employee of
The company that employs [X] is
[X] is on the payroll of

P127
[X] belongs to
The owner of [X] is
[X]'s owner is
[X]'s owner
[X], owned by
[X] is a property of
[X], from
[X] is in the hands of
The company that owns [X] is

P1303
What does [X] play? They play
[X], the
[X] performs on the
[X], performing on the
[X], playing the
[X] plays the instrument
The instrument of [X] is
[X]'s instrument is
[X] is a musician on the
The instrument that [X] plays is

P131
The location of [X] is
[X], in
[X] is within
[X], located in
[X] is situated in
[X] belongs to the region of
[X] is a place in
[X] is part of
[X] lies in
The region in which [X] lies is

P136
What does [X] play? They play
[X] is known for performing
The genre of [X] is
The genre played by [X] is
[X] performs
[X]'s genre is
[X]'s music is
[X]'s style of music is
The music of [X] is classified as
[X] belongs to the genre of

P1376
[X], the capital city of
[X] serves as the capital of
[X] is the seat of
[X], capital of
[X] is the main city of
As a capital, [X] belongs to

P138
The name of [X] comes from
[X] takes its name from
[X] got its name from
[X] is named in honor of
[X] owes its name to
[X] bears the name of

P140
The religion of [X] is
[X] follows the religion of
The official religion of [X] is
The faith of [X] is
[X]'s religion is
[X]'s faith is
[X] is affiliated with the religion
[X] believes in
[X] is devoted to
In matters of religion, [X] follows

P1412
[X] spoke the language
[X] speaks the language
[X] wrote in
[X] writes in
[X] speaks
[X]'s language is
The language used by [X] is
The language of [X] is
[X] expressed themselves in
The language that [X] spoke is

P159
The headquarters of [X] is located in
The headquarters of [X] are in
[X] has its headquarters in
[X]'s headquarters is in
[X]'s head office is in
[X] operates from
The main office of [X] is in

P17
The country of [X] is
[X] is in the country of
[X] is located in the country of
[X]'s country is
[X], in
[X] is in
[X] belongs to
[X] can be found in
[X] lies in the country of
The nation that [X] belongs to is

P176
[X] is made by
[X] is manufactured by
The manufacturer of [X] is
[X]'s manufacturer is
The producer of [X] is
[X] was built by
The company that makes [X] is

P178
[X] was made by
The developer of [X] is
[X]'s developer is
The creator of [X] is
The company behind [X] is
[X] was brought out by

P19
The place of birth of [X] is
[X]'s birthplace is
[X]'s place of birth is
[X] comes from
[X], born in
The birthplace of [X] is
[X] came into the world in

P20
The place of death of [X] is
[X]'s place of death is
[X] died in the city of
[X], who died in
[X]'s death occurred in
The life of [X] came to an end in

P264
[X] is signed to
The record label of [X] is
The label of [X] is
[X] is on the label
[X] has a contract with the record label
The record company of [X] is

P27
The citizenship of [X] is
[X]'s citizenship is
[X]'s country of citizenship is
The nationality of [X] is
[X] holds a citizenship from
[X] has a citizenship from
[X], who is from
[X] comes from
[X] is a national of
The country that [X] is a citizen of is

P276
Where is [X]? It is located in
The location of [X] is
[X] can be found in
[X], in
[X] is situated in
[X]'s location is
[X] took place in
The place of [X] is
[X] is at
[X] lies in
The place where [X] can be found is

P279
[X] is a type of
[X] is a kind of
[X] is a form of
[X] is a
[X] belongs to the class of
[X] is classified as
[X] falls under
[X] is a special case of

P30
Where in the world is [X]? It is in
[X], in
[X] is in
The continent of [X] is
[X]'s continent is
[X] lies on the continent of
[X] is on the continent of
The continent on which [X] lies is
[X] can be found on the continent of

P36
[X]'s seat is
[X] has its capital in
The seat of [X] is
The city that serves as the capital of [X] is
[X] is governed from

P361
[X] belongs to
[X], part of
[X] forms part of
[X], which is part of
[X] is a component of
[X] is included in
[X] is contained in
[X] is within
[X] is an element of
The whole that [X] is part of is

P364
[X] is in
[X]'s original language is
[X] was made in
[X] was filmed in
[X]'s language is
The dialogue of [X] is in
The language spoken in [X] is
[X] was first released in

P37
In [X], the official language is
The language spoken in [X] is
An official language of [X] is
In [X], the language spoken is
In [X], they understand
In [X], an official language is
The law in [X] declares the language
[X]'s official language is
People in [X] speak
The language with official status in [X] is

P39
[X] is a
[X] holds the title of
[X] served as
The position of [X] is
[X] held the office of
[X]'s title is
The office held by [X] is
[X] was appointed

P407
[X]'s language is
The language used in [X] is
[X] is published in
[X] is in
[X] appeared in
The language in which [X] was written is

P413
Which position does [X] play? They play as
[X] plays the position
[X], who plays the position
The position of [X] is
[X]'s position is
[X], the
[X] plays
[X]'s playing position is
[X] takes the field as
The position that [X] plays is

P449
The original network of [X] is
[X] was broadcast by
[X] aired on
[X] was shown on
[X]'s network is
[X] could be watched on
The channel that first showed [X] is

P463
[X], a member of
[X] is affiliated with the
[X] is a part of the
[X] is part of
[X] belongs to
[X] has joined
[X], which belongs to
[X] holds membership in
The organization that [X] belongs to is

P47
[X] is next to
[X] is adjacent to
[X] is a neighbour of
[X] is bordered by
A neighbour of [X] is
[X] has a common border with
[X] lies next to

P495
The country of origin of [X] is
[X]'s country of origin is
[X] comes from
[X] was created in the country of
[X] was made in
[X] is a product of the country
[X] has its origins in
""")
