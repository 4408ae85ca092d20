"""Questions for every ParaRel relation that is trained on; the last two of each are held out.

Contract: `[X]` stands for the subject; a question ends with a question mark, a request with a full stop.
"""

from pretraining.wordings.tables import parsed

QUESTIONS = parsed("""
P1001
Where does [X] apply?
To which place does [X] belong?
What is the jurisdiction of [X]?
Which jurisdiction does [X] apply to?
What territory does [X] cover?
In what country or region is [X] used?
Tell me where [X] applies.
Name the jurisdiction of [X].
Where is [X] in force?
In which jurisdiction is [X] a term?

P101
What is [X]'s field of work?
In which field does [X] work?
What is the field of [X]?
What is the expertise of [X]?
What subject does [X] work on?
What did [X] study?
Tell me what [X] works on.
Name the field of work of [X].
In what area is [X] active?
What does [X] specialize in?

P103
What is the mother tongue of [X]?
What is [X]'s native language?
What is the native language of [X]?
Which language did [X] grow up speaking?
What was the first language of [X]?
What language does [X] speak at home?
Tell me the mother tongue of [X].
Name the native language of [X].
In which language was [X] raised?
Which language is [X]'s first?

P106
What is the occupation of [X]?
What does [X] do for a living?
What is the profession of [X]?
What was [X]'s occupation?
What job does [X] have?
What kind of work does [X] do?
What is [X]'s career?
Tell me what [X] does for a living.
Name the occupation of [X].
How does [X] earn a living?
What is [X] by profession?

P108
Who employs [X]?
Which company does [X] work for?
Where does [X] work?
What is the name of [X]'s employer?
Who does [X] work for?
Which organization employs [X]?
Tell me who employs [X].
Name the employer of [X].
At which company is [X] employed?
Who is the employer of [X]?

P127
Who owns [X]?
Who is the owner of [X]?
Which company owns [X]?
Who is [X] owned by?
What is the name of [X]'s owner?
In whose hands is [X]?
Tell me who owns [X].
Name the owner of [X].
Whose property is [X]?
To whom does [X] belong?

P1303
What instrument does [X] play?
Which instrument is played by [X]?
What is the instrument of [X]?
On which instrument does [X] perform?
What is [X]'s instrument?
Tell me which instrument [X] plays.
Which instrument is [X] known for?
Name the instrument that [X] plays.
Which musical instrument does [X] use?
What does [X] play?

P131
Where is [X] located?
In which region can [X] be found?
In which place is [X] situated?
Which state or province is [X] in?
What region does [X] belong to?
Where can one find [X]?
In what area is [X]?
Tell me where [X] is located.
Name the region in which [X] lies.
Where does [X] lie?
What is the location of [X]?

P136
What kind of music does [X] play?
What is the genre of [X]?
Which style of music is [X] known for?
What genre is [X]?
What sort of music is [X] associated with?
What music does [X] perform?
Tell me the genre of [X].
Name the genre of [X].
In which musical genre does [X] perform?
Which genre does [X] belong to?

P1376
What is [X] the capital of?
[X] is the capital of what?
Which country or region has [X] as its capital?
Whose capital is [X]?
What place has its capital in [X]?
For which place is [X] the capital city?
Tell me what [X] is the capital of.
Name the place whose capital is [X].
Which place is governed from [X]?
Of which place is [X] the capital?

P138
What is [X] named after?
After what was [X] named?
Who or what is [X] named after?
Where did [X] get its name?
Who or what gave [X] its name?
Whom is [X] named after?
Tell me what [X] is named after.
Name the person or thing that [X] is named after.
In whose honor was [X] named?
Where does the name of [X] come from?

P140
What is the religion of [X]?
Which religion does [X] follow?
What is [X]'s religion?
Which religion is [X] affiliated with?
What does [X] believe in?
What religion is associated with [X]?
Tell me the religion of [X].
Name the religion of [X].
To which religion does [X] adhere?
What faith does [X] belong to?

P1412
What language did [X] use?
In which language did [X] communicate?
What language does [X] speak?
Which language does [X] write in?
What is the language of [X]?
In what language did [X] write?
Tell me which language [X] speaks.
Name the language that [X] used.
What language was spoken by [X]?
Which language did [X] speak?

P159
Where is the headquarters of [X]?
Where is [X] based?
Where is [X] headquartered?
In which city are the headquarters of [X]?
What is the headquarters location of [X]?
Which city is home to [X]?
Where does [X] have its main office?
Tell me where [X] is based.
Name the city where [X] is headquartered.
From which city does [X] operate?
In which city is [X] headquartered?

P17
Which country is [X] in?
What country does [X] belong to?
In what country is [X]?
What is the country of [X]?
Which country can [X] be found in?
What nation is [X] part of?
Tell me which country [X] is in.
Name the country of [X].
In which nation does [X] lie?
In which country is [X] located?

P176
Who produces [X]?
Which company makes [X]?
Who makes [X]?
Who was [X] built by?
What is the manufacturer of [X]?
Which company manufactured [X]?
What company produced [X]?
Tell me who makes [X].
Name the manufacturer of [X].
By which company was [X] produced?
Who is the manufacturer of [X]?

P178
Who developed [X]?
Which company created [X]?
Who created [X]?
Which company developed [X]?
What is the developer of [X]?
Who made [X]?
Who was behind the development of [X]?
Tell me who developed [X].
Name the developer of [X].
By whom was [X] developed?
Who is the developer of [X]?

P19
Where was [X] born?
What is the place of birth of [X]?
What is [X]'s birthplace?
In what city was [X] born?
Where does [X] come from?
Which city was [X] born in?
Which place is [X] originally from?
Tell me where [X] was born.
Name the birthplace of [X].
What town is [X] a native of?
In which place was [X] born?

P20
Where did [X] die?
What is the place of death of [X]?
In what place did [X] die?
In what city did [X] pass away?
What was [X]'s place of death?
Where did [X] pass away?
Where did the life of [X] end?
Tell me where [X] died.
Name the place where [X] died.
At which place did [X] lose their life?
In which city did [X] die?

P264
What is the record label of [X]?
Which label represents [X]?
What label is [X] signed to?
Which record company is [X] with?
What is the name of [X]'s record label?
What label was responsible for [X]?
Tell me the record label of [X].
Name the record label of [X].
On which label did [X] appear?
Who released the music of [X]?

P27
What is the citizenship of [X]?
Which country is [X] a citizen of?
What country is [X] a citizen of?
What is [X]'s nationality?
Where does [X] hold citizenship?
Which country does [X] come from?
What is [X]'s country of citizenship?
Tell me the citizenship of [X].
Name the country of citizenship of [X].
Of which country is [X] a national?
What nationality does [X] have?

P276
Where can [X] be found?
What is the location of [X]?
Where is [X]?
At what place is [X]?
Where did [X] take place?
Where can you visit [X]?
Tell me where [X] can be found.
Name the location of [X].
What place is [X] at?
In which place is [X]?

P279
What is [X] a subclass of?
What type of thing is [X]?
What kind of thing is [X]?
What is [X] a type of?
What is [X] a kind of?
What category does [X] fall under?
Tell me what kind of thing [X] is.
Name the class that [X] belongs to.
Of what is [X] a special case?
Which class does [X] belong to?

P30
On which continent is [X]?
Which continent does [X] belong to?
Which continent is [X] in?
What is the continent of [X]?
On what continent can [X] be found?
Which continent is [X] part of?
Tell me which continent [X] is on.
Name the continent of [X].
On which continent does [X] lie?
What continent is [X] located in?

P36
What is the capital of [X]?
Which city is the capital of [X]?
What is the capital city of [X]?
Which city is [X] governed from?
What is the name of [X]'s capital city?
What serves as the capital of [X]?
Tell me the capital of [X].
Name the capital of [X].
What city is the seat of [X]?
What is [X]'s capital?

P361
What is [X] part of?
Which whole does [X] belong to?
What is [X] a component of?
What does [X] form part of?
What larger thing includes [X]?
What does [X] belong to?
Tell me what [X] is part of.
Name what [X] is part of.
Of what is [X] an element?
[X] is a part of what?

P364
What is the original language of [X]?
Which language was [X] made in?
In what language was [X] filmed?
What is the language of [X]?
Which language was [X] originally in?
What language do they speak in [X]?
Tell me the original language of [X].
Name the original language of [X].
What language was [X] first released in?
What language is [X] in?

P37
What is the official language of [X]?
Which language is official in [X]?
What language is spoken in [X]?
Which language do they speak in [X]?
What is the language of [X]?
What is [X]'s official language?
Tell me the official language of [X].
Name the official language of [X].
Which language has official status in [X]?
What do people in [X] speak?

P39
What position does [X] hold?
Which office did [X] hold?
Which position was held by [X]?
What was the position of [X]?
What title does [X] hold?
What rank did [X] have?
Tell me the position of [X].
Name the position that [X] held.
In which office did [X] serve?
What is the position of [X]?

P407
In which language was [X] written?
What is the language of [X]?
What language was [X] written in?
What language does [X] use?
In what language was [X] published?
In what language can one read [X]?
Tell me the language of [X].
Name the language in which [X] was written.
What language was used for [X]?
Which language is [X] written in?

P413
What position does [X] play?
In which position does [X] play?
What is the playing position of [X]?
What is [X]'s position on the team?
What role does [X] have on the field?
Where on the field does [X] play?
Tell me the position that [X] plays.
Name the position of [X].
As what does [X] play?
Which position is [X] known for?

P449
On which channel was [X] aired?
What network did [X] debut on?
Which network originally aired [X]?
Which channel is [X] on?
What is the original network of [X]?
Which TV station broadcast [X]?
On which network could one watch [X]?
Tell me which network aired [X].
Name the network that aired [X].
Which broadcaster first showed [X]?
Where did [X] premiere?

P463
What is [X] a member of?
Which organization does [X] belong to?
What organization is [X] affiliated with?
Of which organization is [X] a member?
What organization has [X] joined?
Which body counts [X] as a member?
Tell me what [X] is a member of.
Name the organization that [X] belongs to.
What association is [X] in?
What group is [X] in?

P47
What does [X] border?
Which place shares a border with [X]?
What place is next to [X]?
What borders [X]?
Which place is adjacent to [X]?
With what does [X] share a border?
Tell me what [X] borders.
Name a neighbour of [X].
What lies just across the border of [X]?
What is a neighbour of [X]?

P495
Where was [X] created?
What is the country of origin of [X]?
In which country was [X] made?
What country did [X] originate in?
Where does [X] come from?
Where did [X] originate?
In what country was [X] developed?
Tell me where [X] comes from.
Name the country of origin of [X].
Which country produced [X]?
Which country is [X] from?
""")
