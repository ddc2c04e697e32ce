"""Wordings of what is told of people: home, work, tastes, birth, age, music, sport, languages.

Where the primer has the relation, its wordings are used: those that it keeps for testing test here.
"""

from __future__ import annotations

from nanohydra.data.primer.wordings_facts2 import FACT_RELATIONS
from nanohydra.learn.study.relation import relation

PRIMER = {relation.key: relation for relation in FACT_RELATIONS}
DATE = (
    r"(?:the )?(?:\d{1,2}(?:st|nd|rd|th)?(?: of)? )?"
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
    r"\b.*|(?:the year )?\d{3,4}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}"
)
DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b.*"

PEOPLE = (
    relation(
        "lives", "town",
        say=PRIMER["lives"].say.train[:3] + ("{s} has a home in {o}.", "{s} resides in {o}.",
             "The home of {s} is {o}.", "{s} is living in {o}.", "{s} moved to {o}.",
             "{o} is where {s} lives.", "{s} lives at {o}."),
        ask=PRIMER["lives"].ask.train, test=PRIMER["lives"].ask.test,
        dev="Which town does {s} live in? | Where is {s} at home?",
        clause="where {s} lives", answer="{s} lives in {o}.",
        back="Who lives in {o}? | Who has a home in {o}? | Whose home is in {o}? |"
             "Who is living in {o}? | Who has a house in {o}?",
        back_test="Which person lives in {o}? | Who is it that lives in {o}?",
    ),
    relation(
        "job", "job",
        say="{s} works as {ao}. | The job of {s} is {o}. | {s} has a job as {ao}. |"
            "{s} earns money as {ao}. | For work, {s} is {ao}. | {p} job is {o}. |"
            "{s} is {ao} by trade. | {s} is employed as {ao}. | {s} has been {ao} for years.",
        ask=PRIMER["job"].ask.train, test=PRIMER["job"].ask.test,
        dev="What is the work of {s}? | Which work does {s} do?",
        clause="what the job of {s} is", answer="{s} works as {ao}.",
        back="Who works as {ao}? | Whose job is {o}? | Who is {ao} by trade? |"
             "Who earns money as {ao}? | Who has a job as {ao}?",
        back_test="Which person works as {ao}? | Who does the work of {ao}?",
    ),
    relation(
        "works_at", "place",
        say="{s} works {at} {o}. | {s} has a job {at} {o}. | {s} is employed {at} {o}. |"
            "{s} goes to work {at} {o}. | {p} work is {at} {o}. | {s} earns money {at} {o}. |"
            "{s} is working {at} {o}. | {s} has worked {at} {o} for years.",
        ask="Where does {s} work? | Where is {s} working? | For whom does {s} work? |"
            "Where does {s} go to work? | Where does {s} have a job? | {s} works where? |"
            "At which place does {s} work? | Who does {s} work for? | Where is {p} work? |"
            "Where does {s} earn money?",
        dev="In which place does {s} work? | Where can I find {s} at work?",
        test="What place does {s} work at? | Where does {s} go every day for work? |"
             "In what place has {s} got a job?",
        clause="where {s} works", answer="{s} works {at} {o}.",
        back="Who works {at} {o}? | Who has a job {at} {o}? | Who goes to work {at} {o}? |"
             "Who is working {at} {o}?",
        back_test="Which person works {at} {o}? | Who earns money {at} {o}?",
    ),
    relation(
        "likes", "food", multi=True,
        say="{s} likes {o}. | {s} loves {o}. | {s} likes {o} best. | {s} likes {o} very much. |"
            "{s} really likes {o}. | {s} enjoys {o}. | {s} is fond of {o}. |"
            "Nothing is better than {o} for {s}. | {s} adores {o}.",
        ask="What does {s} like? | What does {s} love? | What does {s} like best? |"
            "What does {s} enjoy? | Which thing does {s} like? | {s} likes what? |"
            "What is liked by {s}? | What does {s} like most? | What makes {s} happy? |"
            "What is nice for {s}?",
        dev="What would {s} like? | Of what is {s} fond?",
        test="What does {s} enjoy most? | What thing does {s} like most of all? |"
             "What is it that {s} likes?",
        clause="what {s} likes", answer="{s} likes {o}.",
        back="Who likes {o}? | Who loves {o}? | Who enjoys {o}? | Who is it that likes {o}?",
        back_test="Which person likes {o}? | Who is fond of {o}?",
    ),
    relation(
        "hates", "food", multi=True,
        say="{s} hates {o}. | {s} dislikes {o}. | {s} does not like {o}. | {s} doesn't like {o}. |"
            "{s} never eats {o}. | {s} can not stand {o}. | {s} cannot stand {o}. |"
            "{s} does not want {o}.",
        ask="What does {s} hate? | What does {s} not like? | What does {s} dislike? |"
            "Which thing does {s} hate? | {s} hates what? | What is not liked by {s}? |"
            "What should I not give to {s}? | What does {s} not want? | What is bad for {s}?",
        dev="What would {s} never take? | Which thing does {s} not like?",
        test="What can {s} not stand? | What thing does {s} dislike most? |"
             "What is it that {s} hates?",
        clause="what {s} hates", answer="{s} hates {o}.",
        back="Who hates {o}? | Who does not like {o}? | Who dislikes {o}? |"
             "Who is it that hates {o}?",
        back_test="Which person hates {o}? | Who can not stand {o}?",
    ),
    relation(
        "born_in", "town",
        say="{s} was born in {o}. | {s} was born at {o}. | The birthplace of {s} is {o}. |"
            "{p} birthplace is {o}. | {o} is the birthplace of {s}. | {s} is a native of {o}. |"
            "{s} came into the world in {o}. | {o} is where {s} was born.",
        ask="Where was {s} born? | In which town was {s} born? | What is the birthplace of {s}? |"
            "Which place was {s} born in? | {s} was born where? | In which place was {s} born? |"
            "Where did {s} come into the world? | What is {p} birthplace? |"
            "What is the place where {s} was born?",
        dev="What town was {s} born in? | Where is {s} born?",
        test="In what place was {s} born? | Which town is the birthplace of {s}? |"
             "In what town did {s} come into the world?",
        clause="where {s} was born", answer="{s} was born in {o}.",
        back="Who was born in {o}? | Who came into the world in {o}? | Whose birthplace is {o}? |"
             "Who is it that was born in {o}?",
        back_test="Which person was born in {o}? | Who is a native of {o}?",
    ),
    relation(
        "born_on", "date", only=DATE,
        say="{s} was born {on} {o}. | The birthday of {s} is {on} {o}. |"
            "{p} birthday is {on} {o}. |"
            "The birthday of {s} is {o}. | {p} birthday is {o}. | {s} has a birthday {on} {o}. |"
            "{s} came into the world {on} {o}. | The day when {s} was born is {o}.",
        ask="When was {s} born? | When is {p} birthday? | When is the birthday of {s}? |"
            "What is the birthday of {s}? | In which year was {s} born? | {s} was born when? |"
            "On which day was {s} born? | What is {p} birthday? | When does {s} have a birthday? |"
            "When did {s} come into the world?",
        dev="In what year was {s} born? | What is the day when {s} was born?",
        test="On what day is the birthday of {s}? | At what time was {s} born? |"
             "What is the date when {s} was born?",
        clause="when {s} was born", answer="{s} was born {on} {o}.",
        back="Who was born {on} {o}? | Whose birthday is {on} {o}? | Who has a birthday {on} {o}?",
        back_test="Which person was born {on} {o}? | Who is it that was born {on} {o}?",
    ),
    relation(
        "age", "number", only=r"\d{1,3}|[a-z]+(?:[- ][a-z]+)?",
        say="{s} is {o} years old. | The age of {s} is {o}. | {p} age is {o}. |"
            "{s} has just turned {o}. | {s} turned {o} today. | {s} is already {o} years old. |"
            "{s} is {o} years of age. | {s} turned {o}.",
        ask="How old is {s}? | What is the age of {s}? | What is {p} age? |"
            "How many years old is {s}? | {s} is how old? | What age is {s}? |"
            "How many years has {s}? | What age does {s} have? | How old is {s} now?",
        dev="What age has {s} got? | How many years is {s} old?",
        test="How many years of age is {s}? | Of what age is {s}? | What age did {s} turn?",
        clause="how old {s} is", answer="{s} is {o} years old.",
        back="Who is {o} years old? | Whose age is {o}? | Who turned {o}?",
        back_test="Which person is {o} years old? | Who is it that is {o} years old?",
    ),
    relation(
        "instrument", "instrument", only=r"the .+|(?:piano|flute|drums?|violin|guitar|trumpet|harp|"
        r"horn|cello|banjo|organ|fiddle|saxophone|clarinet|bass|ukulele|accordion)s?",
        say="{s} plays the {o}. | {s} plays {o}. | {s} makes music on the {o}. |"
            "{s} learned to play the {o}. | The instrument of {s} is the {o}. |"
            "{s} is good at the {o}. | {s} can play the {o}. | In the evening {s} plays the {o}.",
        ask=PRIMER["instrument"].ask.train, test=PRIMER["instrument"].ask.test,
        dev="What instrument does {s} like to play? | Which instrument has {s}?",
        clause="which instrument {s} plays", answer="{s} plays the {o}.",
        back="Who plays the {o}? | Who can play the {o}? | Who makes music on the {o}? |"
             "Who learned to play the {o}?",
        back_test="Which person plays the {o}? | Who is good at the {o}?",
    ),
    relation(
        "sport", "sport", multi=True,
        only=r"(?:tennis|football|chess|hockey|golf|rugby|cricket|basketball|bowling|darts|"
        r"badminton|soccer|baseball|volleyball|handball|squash|go|bridge|poker|cards|[\w ]*ball)",
        say="{s} plays {o}. | {s} likes to play {o}. | The sport of {s} is {o}. |"
            "{s} trains for {o}. |"
            "{s} is good at {o}. | You can watch {s} play {o}. | {s} plays {o} every week. |"
            "The game of {s} is {o}.",
        ask="What does {s} play? | Which sport does {s} play? | What game does {s} play? |"
            "What is the sport of {s}? | What is the game of {s}? | {s} plays which sport? |"
            "What sport does {s} train for? | What kind of sport does {s} play? |"
            "What does {s} like to play?",
        dev="In which sport is {s} good? | What is {p} sport?",
        test="At which sport is {s} good? | What can I watch {s} play? |"
             "For what sport does {s} train?",
        clause="which sport {s} plays", answer="{s} plays {o}.",
        back="Who plays {o}? | Who trains for {o}? | Who likes to play {o}?",
        back_test="Which person plays {o}? | Who is good at {o}?",
    ),
    relation(
        "speaks", "language", multi=True,
        say="{s} speaks {o}. | {s} can speak {o}. | The language of {s} is {o}. |"
            "{s} talks in {o}. | {s} knows how to speak {o}. | {p} language is {o}. |"
            "{s} learned to speak {o}. | {s} is good at speaking {o}.",
        ask="What does {s} speak? | Which language does {s} speak? |"
            "What language does {s} speak? |"
            "What is the language of {s}? | {s} speaks which language? | What can {s} speak? |"
            "In which language does {s} talk? | Which language can {s} speak? |"
            "What is {p} language?",
        dev="What language does {s} know? | In what language does {s} speak?",
        test="What language can {s} speak? | Which language did {s} learn? |"
             "In what language can I talk to {s}?",
        clause="which language {s} speaks", answer="{s} speaks {o}.",
        back="Who speaks {o}? | Who can speak {o}? | Whose language is {o}? | Who talks in {o}?",
        back_test="Which person speaks {o}? | Who is it that speaks {o}?",
    ),
    relation(
        "studies", "subject", multi=True,
        say="{s} studies {o}. | {s} is studying {o}. | {s} is a student of {o}. |"
            "{s} learns {o}. | {s} is learning {o}. | {s} reads books about {o}. |"
            "At school {s} learns {o}. | {s} wants to know all about {o}.",
        ask="What does {s} study? | What is {s} studying? | What does {s} learn? |"
            "What is {s} learning? | Which subject does {s} study? | {s} studies what? |"
            "What does {s} learn at school? | What is the subject of {s}? |"
            "What does {s} read books about?",
        dev="Of what is {s} a student? | Which subject does {s} learn?",
        test="What subject does {s} study? | What does {s} want to learn? |"
             "About what does {s} read books?",
        clause="what {s} studies", answer="{s} studies {o}.",
        back="Who studies {o}? | Who is learning {o}? | Who learns {o}? | Who is studying {o}?",
        back_test="Which person studies {o}? | Who is a student of {o}?",
    ),
    relation(
        "drives", "vehicle",
        say="{s} drives {o}. | {s} is driving {o}. | {s} goes to work in {o}. |"
            "You can see {s} in {o}. | {s} always drives {o}. | {s} likes to drive {o}. |"
            "Every day {s} drives {o}. | {s} gets around in {o}.",
        ask="What does {s} drive? | Which car does {s} drive? | What kind of car does {s} drive? |"
            "{s} drives what? | What is {s} driving? | What does {s} go to work in? |"
            "What does {s} like to drive? | What does {s} drive every day? |"
            "What car does {s} drive?",
        dev="In what does {s} get around? | Which kind of car is {s} driving?",
        test="What can I see {s} drive? | What kind of car has {s} got? |"
             "In what does {s} drive to work?",
        clause="what {s} drives", answer="{s} drives {o}.",
        back="Who drives {o}? | Who is driving {o}? | Who goes to work in {o}?",
        back_test="Which person drives {o}? | Who likes to drive {o}?",
    ),
    relation(
        "married", "name",
        say="{s} is married to {o}. | {s} married {o}. | {s} is the wife of {o}. |"
            "{s} is the husband of {o}. | {o} is the partner of {s}. | {p} partner is {o}. |"
            "The partner of {s} is {o}. | {s} has been married to {o} for years.",
        ask="Who is {s} married to? | To whom is {s} married? | Whom did {s} marry? |"
            "Who is the partner of {s}? | Who did {s} marry? | {s} is married to whom? |"
            "What is the partner of {s} called? | Who is {p} partner? |"
            "What is the name of the partner of {s}?",
        dev="With whom is {s} married? | Which person is the partner of {s}?",
        test="Which person did {s} marry? | Who is it that {s} is married to? |"
             "What person is {s} married to?",
        clause="who {s} is married to", answer="{s} is married to {o}.",
        back="Who is married to {o}? | Who married {o}? | Who is the partner of {o}?",
        back_test="Which person is married to {o}? | To whom is {o} married?",
    ),
    relation(
        "allergic", "food", multi=True,
        say="{s} is allergic to {o}. | {s} has an allergy to {o}. | {s} must not eat {o}. |"
            "{o} makes {s} ill. | {s} can not eat {o}. | {s} cannot eat {o}. |"
            "{s} gets ill from {o}. | {p} allergy is {o}.",
        ask="What is {s} allergic to? | To what is {s} allergic? | What must {s} not eat? |"
            "What can {s} not eat? | What makes {s} ill? | {s} is allergic to what? |"
            "What allergy does {s} have? | Which allergy does {s} have? |"
            "What should {s} not eat?",
        dev="Which food can {s} not eat? | What must {s} never eat?",
        test="What is bad for {s} to eat? | Which food makes {s} ill? |"
             "What is it that {s} is allergic to?",
        clause="what {s} is allergic to", answer="{s} is allergic to {o}.",
        back="Who is allergic to {o}? | Who can not eat {o}? | Who must not eat {o}?",
        back_test="Which person is allergic to {o}? | Who gets ill from {o}?",
    ),
    relation(
        "afraid", "animal", multi=True,
        say="{s} is afraid of {o}. | {s} fears {o}. | {s} is scared of {o}. | {s} runs from {o}. |"
            "{p} biggest fear is {o}. | The biggest fear of {s} is {o}. | {o} scares {s}. |"
            "{s} has a fear of {o}.",
        ask="What is {s} afraid of? | What does {s} fear? | What scares {s}? |"
            "Of what is {s} afraid? | What is {s} scared of? | {s} is afraid of what? |"
            "What is the biggest fear of {s}? | What does {s} run from? |"
            "What is {p} biggest fear?",
        dev="Which thing scares {s}? | What fear does {s} have?",
        test="Of what is {s} scared? | What makes {s} afraid? | What thing does {s} fear most?",
        clause="what {s} is afraid of", answer="{s} is afraid of {o}.",
        back="Who is afraid of {o}? | Who fears {o}? | Who is scared of {o}?",
        back_test="Which person is afraid of {o}? | Who has a fear of {o}?",
    ),
    relation(
        "collects", "goods", multi=True,
        say="{s} collects {o}. | {s} has a collection of {o}. | {s} likes to collect {o}. |"
            "{s} keeps many {o} at home. | {s} has been collecting {o} for years. |"
            "The house of {s} is full of {o}. | {s} buys {o} to keep. | {s} looks for {o}.",
        ask="What does {s} collect? | What does {s} have a collection of? |"
            "What does {s} like to collect? | {s} collects what? | What is {s} collecting? |"
            "Which things does {s} collect? | What does {s} keep at home? |"
            "What does {s} buy to keep? | What does {s} look for?",
        dev="Of what does {s} have a collection? | What kind of things does {s} keep?",
        test="What things does {s} collect? | What is the house of {s} full of? |"
             "What kind of collection does {s} have?",
        clause="what {s} collects", answer="{s} collects {o}.",
        back="Who collects {o}? | Who has a collection of {o}? | Who likes to collect {o}?",
        back_test="Which person collects {o}? | Who looks for {o}?",
    ),
    relation(
        "comes_from", "town",
        say="{s} comes from {o}. | {s} is from {o}. | The home town of {s} is {o}. |"
            "{s} grew up in {o}. | {p} home town is {o}. | {s} came here from {o}. |"
            "{s} is originally from {o}. | {o} is the home town of {s}.",
        ask="Where does {s} come from? | Where is {s} from? | What is the home town of {s}? |"
            "Which town does {s} come from? | From which town is {s}? | {s} comes from where? |"
            "Where did {s} grow up? | What place does {s} come from? |"
            "From where does {s} come?",
        dev="In which place did {s} grow up? | From where did {s} come here?",
        test="What town does {s} come from? | From what place is {s}? |"
             "Which town is {s} from?",
        clause="where {s} comes from", answer="{s} comes from {o}.",
        back="Who comes from {o}? | Who is from {o}? | Who grew up in {o}?",
        back_test="Which person comes from {o}? | Who came here from {o}?",
    ),
)  # fmt: skip
