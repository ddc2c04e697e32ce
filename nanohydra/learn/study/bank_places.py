"""Wordings of what is told of places, firms and events: capital, founding, times, leaders."""

from __future__ import annotations

from nanohydra.learn.study.bank_people import DATE, DAY, PRIMER
from nanohydra.learn.study.bank_things import TIME
from nanohydra.learn.study.relation import relation

YEAR = r"(?:the year )?\d{3,4}"
NAMED = r"(?-i:[A-Z]).*"  # a name begins with a capital
WHEN = (
    r"in (?:the year )?\d{3,4}|(?!\d{3,4}$)(?:(?:on|in|at|every|next|this) )?"
    rf"(?:{DATE}|{DAY}|tomorrow|today|"
    r"(?:the )?(?:spring|summer|autumn|winter|fall|weekend|evening|morning))"
)

PLACES = (
    relation(
        "capital", "town",
        say="The capital of {s} is {o}. | {o} is the capital of {s}. |"
            "{s} has {o} as its capital. |"
            "{p} capital is {o}. | The capital city of {s} is {o}. | {s} has the capital {o}. |"
            "{o} is the capital city of {s}. | The first city of {s} is {o}.",
        ask="What is the capital of {s}? | Which city is the capital of {s}? |"
            "What is {p} capital? | Which capital does {s} have? | What capital does {s} have? |"
            "{s} has which capital? | What is the capital of {s} called? |"
            "What is the name of the capital of {s}? | The capital of {s} is what?",
        dev="Which town is the capital of {s}? | What is the first city of {s}?",
        test="What city is the capital of {s}? | Which place is the capital of {s}? |"
             "By what name is the capital of {s} known?",
        clause="what the capital of {s} is", answer="The capital of {s} is {o}.",
        back="Of what is {o} the capital? | {o} is the capital of what? |"
             "Which land has {o} as its capital? | Which country has the capital {o}?",
        back_test="What country has {o} as its capital? | Of which place is {o} the capital?",
        back_answer="{o} is the capital of {s}.",
    ),
    relation(
        "founded", "year", only=YEAR,
        say="{s} was founded in {o}. | {s} was built in {o}. | {s} began in {o}. |"
            "{s} was started in {o}. | {s} has been there since {o}. | {s} started in {o}. |"
            "The year when {s} was founded is {o}. | {s} was opened in {o}. | {s} opened in {o}.",
        ask=tuple(q for q in PRIMER["founded"].ask.train if "town" not in q)
            + ("When did {s} start?", "When was {s} started?", "What is the first year of {s}?"),
        test=PRIMER["founded"].ask.test,
        dev="In what year was {s} founded? | Since when is there {s}?",
        clause="when {s} was founded", answer="{s} was founded in {o}.",
        back="What was founded in {o}? | What began in {o}? | What was built in {o}?",
        back_test="Which thing was founded in {o}? | What was started in {o}?",
    ),
    relation(
        "founder", "name",
        say="{s} was founded by {o}. | The founder of {s} is {o}. | {o} is the founder of {s}. |"
            "{o} founded {s}. | {s} was started by {o}. | It was {o} who founded {s}. |"
            "{o} started {s}. | {s} was the idea of {o}. | {p} founder is {o}.",
        ask="Who founded {s}? | Who is the founder of {s}? | By whom was {s} founded? |"
            "Who started {s}? | What is the founder of {s} called? | {s} was founded by whom? |"
            "What is the name of the founder of {s}? | Who is {p} founder? |"
            "Who had the idea of {s}?",
        dev="What person founded {s}? | By whom was {s} started?",
        test="Which person founded {s}? | Who was it that founded {s}? | Which person started {s}?",
        clause="who founded {s}", answer="{s} was founded by {o}.",
        back="What did {o} found? | What was founded by {o}? | Of what is {o} the founder? |"
             "What did {o} start?",
        back_test="Which thing did {o} found? | What was started by {o}?",
    ),
    relation(
        "famous", "goods", multi=True,
        say="{s} is famous for {o}. | {s} is known for {o}. | {s} is famous for its {o}. |"
            "People come to {s} for {o}. | The pride of {s} is {o}. | {s} is known for its {o}. |"
            "People know {s} for {o}. | People come to {s} to buy {o}.",
        ask="What is {s} famous for? | What is {s} known for? | For what is {s} famous? |"
            "For what is {s} known? | What is the pride of {s}? | Why do people come to {s}? |"
            "{s} is famous for what? | What do people know {s} for? | What makes {s} known?",
        dev="For what do people come to {s}? | What makes people come to {s}?",
        test="What makes {s} famous? | For what do people know {s}? | Why do people know {s}?",
        clause="what {s} is famous for", answer="{s} is famous for {o}.",
        back="What is famous for {o}? | What is known for {o}? | Who or what is known for {o}?",
        back_test="Which place is famous for {o}? | Who or what do people know for {o}?",
    ),
    relation(
        "held_in", "place", only=rf"(?!in )(?!{DATE}$|{DAY}$).+",
        say="{s} is held in {o}. | {s} takes place in {o}. | People go to {o} for {s}. |"
            "In {o} they hold {s}. | The place of {s} is {o}. |"
            "You can see {s} in {o}. | {s} is held at {o}. | {s} takes place at {o}.",
        ask="Where is {s} held? | Where does {s} take place? | Where do they hold {s}? |"
            "Where can I see {s}? | Where do people go for {s}? | In which place is {s} held? |"
            "{s} is held where? | In which place is {s}? | Which place holds {s}?",
        dev="To which place do people go for {s}? | Where should I go for {s}?",
        test="What place is {s} in? | In what place do they hold {s}? |"
             "At which place does {s} take place?",
        clause="where {s} is held", answer="{s} is held in {o}.",
        back="What is held in {o}? | What takes place in {o}? | For what do people go to {o}?",
        back_test="What do they hold in {o}? | What can I see in {o}?",
    ),
    relation(
        "when", "date", only=WHEN,
        say="{s} is {o}. | {s} takes place {o}. | {s} is held {o}. | {s} starts {o}. |"
            "{s} happens {o}. | The date of {s} is {o}. | {s} comes {o}. | {s} will be {o}. |"
            "{s} falls {o}. | The day of {s} is {o}.",
        ask="When is {s}? | When does {s} take place? | On which day is {s}? |"
            "When does {s} start? |"
            "What is the date of {s}? | {s} is when? | When is {s} held? | When does {s} happen? |"
            "When can I see {s}? | What day is {s}?",
        dev="On what date is {s}? | When does {s} come?",
        test="On what day does {s} take place? | At what time of the year is {s}? |"
             "When should I go to {s}?",
        clause="when {s} is", answer="{s} is {on_o}.",
        back="What is {on_o}? | What takes place {on_o}? | What happens {on_o}?",
        back_test="Which thing is {on_o}? | What is there {on_o}?",
    ),
    relation(
        "opens", "time", only=rf"(?:at )?{TIME}",
        say="{s} opens at {o}. | {s} is open from {o}. | {s} opens {o}. |"
            "{s} opens its doors at {o}. |"
            "The doors of {s} open at {o}. | You can come to {s} from {o}. |"
            "{s} is open after {o}. |"
            "{s} starts to open at {o}.",
        ask="When does {s} open? | At what time does {s} open? | What time does {s} open? |"
            "From when is {s} open? | When is {s} open? | {s} opens when? |"
            "When can I come to {s}? | When do the doors of {s} open? |"
            "At which hour does {s} open?",
        dev="From what time is {s} open? | When do they open {s}?",
        test="At what hour does {s} open? | When should I come to {s}? |"
             "What is the time when {s} opens?",
        clause="when {s} opens", answer="{s} opens at {o}.",
        back="What opens at {o}? | What is open from {o}?",
        back_test="Which place opens at {o}? | What opens its doors at {o}?",
    ),
    relation(
        "closes", "time", only=rf"(?:at )?{TIME}",
        say="{s} closes at {o}. | {s} is open until {o}. | {s} closes {o}. | {s} shuts at {o}. |"
            "The doors of {s} close at {o}. | You must leave {s} at {o}. |"
            "{s} is closed after {o}. |"
            "{s} closes its doors at {o}.",
        ask="When does {s} close? | At what time does {s} close? | What time does {s} close? |"
            "Until when is {s} open? | When is {s} closed? | {s} closes when? |"
            "When must I leave {s}? | When do the doors of {s} close? |"
            "At which hour does {s} close?",
        dev="Until what time is {s} open? | When do they close {s}?",
        test="At what hour does {s} close? | When does {s} shut? |"
             "What is the time when {s} closes?",
        clause="when {s} closes", answer="{s} closes at {o}.",
        back="What closes at {o}? | What is open until {o}?",
        back_test="Which place closes at {o}? | What closes its doors at {o}?",
    ),
    relation(
        "starts", "time", only=rf"(?:at )?{TIME}",
        say="{s} starts at {o}. | {s} begins at {o}. | {s} starts {o}. | {s} is at {o}. |"
            "The start of {s} is at {o}. | {s} leaves at {o}. | {s} will start at {o}. |"
            "Be there at {o} for {s}. | {s} begins {o}.",
        ask="When does {s} start? | At what time does {s} start? | When does {s} begin? |"
            "What time does {s} start? | When is the start of {s}? | {s} starts when? |"
            "At what time is {s}? | When is {s}? | At which hour does {s} start?",
        dev="From what time is there {s}? | When do they start {s}?",
        test="At what hour does {s} begin? | When should I be there for {s}? |"
             "What is the time when {s} begins?",
        clause="when {s} starts", answer="{s} starts at {o}.",
        back="What starts at {o}? | What begins at {o}?",
        back_test="Which thing starts at {o}? | What is there at {o}?",
    ),
    relation(
        "led_by", "name",
        say="{s} is led by {o}. | The leader of {s} is {o}. | {o} is the leader of {s}. |"
            "{o} leads {s}. | {s} is run by {o}. | {p} leader is {o}. |"
            "The head of {s} is {o}. | {o} is the head of {s}.",
        ask="Who leads {s}? | Who is the leader of {s}? | By whom is {s} led? | Who runs {s}? |"
            "What is the leader of {s} called? | The leader of {s} is who? |"
            "What is the name of the leader of {s}? | Who is the head of {s}? |"
            "Who is {p} leader?",
        dev="Whom do the people of {s} follow? | By which person is {s} led?",
        test=PRIMER["led_by"].ask.test,
        clause="who leads {s}", answer="{s} is led by {o}.",
        back="What does {o} lead? | What is led by {o}? | Of what is {o} the leader? |"
             "What does {o} run?",
        back_test="Which thing is led by {o}? | Who or what has {o} as leader?",
    ),
    relation(
        "sells", "goods", multi=True,
        say="{s} sells {o}. | You can buy {o} at {s}. | You can buy {o} in {s}. |"
            "In {s} they sell {o}. | At {s} they sell {o}. | People buy {o} from {s}. |"
            "{s} has {o} for sale. | {s} is selling {o}.",
        ask="What does {s} sell? | What can I buy at {s}? | What can I buy in {s}? |"
            "What do they sell in {s}? | What do people buy from {s}? | {s} sells what? |"
            "What is {s} selling? | Which things does {s} sell? | What do they sell at {s}?",
        dev="What do people buy in {s}? | What can you get at {s}?",
        test="What things does {s} sell? | What could I buy from {s}? |"
             "What does {s} have for sale?",
        clause="what {s} sells", answer="{s} sells {o}.",
        back="Who or what sells {o}? | Where can I buy {o}? | Who sells {o}?",
        back_test="Which shop sells {o}? | Where do they sell {o}?",
    ),
    relation(
        "won", "name", only=NAMED,
        say="{s} was won by {o}. | The winner of {s} is {o}. | {o} won {s}. |"
            "{o} is the winner of {s}. | It was {o} who won {s}. | The winner of {s} was {o}. |"
            "{o} was the winner of {s}. | The first place in {s} went to {o}.",
        ask="Who won {s}? | Who is the winner of {s}? | By whom was {s} won? |"
            "What is the winner of {s} called? | {s} was won by whom? |"
            "Who was the winner of {s}? |"
            "What is the name of the winner of {s}? | Who was the best in {s}? |"
            "Who came first in {s}?",
        dev="What person won {s}? | To whom did the first place in {s} go?",
        test="Which person won {s}? | Who was it that won {s}? | Who got the first place in {s}?",
        clause="who won {s}", answer="{s} was won by {o}.",
        back="What did {o} win? | What was won by {o}? | Of what is {o} the winner?",
        back_test="Which thing did {o} win? | In what did {o} come first?",
    ),
)  # fmt: skip
