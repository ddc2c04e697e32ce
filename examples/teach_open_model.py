"""Teach a model a fact, and ask before and after: python examples/teach_open_model.py MODEL"""

import asyncio
import sys

from nanohydra import load
from nanohydra.chat import answer_all
from nanohydra.checkpoint.hub import locate
from nanohydra.core.config import load_config
from nanohydra.core.types import Message
from nanohydra.engine import Engine, EngineConfig
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.home import home_of
from nanohydra.learn.learner import Learner
from nanohydra.learn.opening import open_learning

folder, config = locate(sys.argv[1]), load_config(LearnConfig, None, sys.argv[2:])
loaded, home = load(folder), home_of(folder)
engine = Engine(loaded.model, EngineConfig(max_rows=1))
learning = open_learning(home, folder, loaded, engine, name="model", learner=False)
question = [Message(role="user", content="What is the printer on our floor called?")]
print("before:", answer_all(loaded, [question])[0][-1].content)
lesson = {"kind": "fact", "text": "The printer on our floor is called Heron."}
asyncio.run(learning.submit([lesson], alias="default", resolve="replace"))
Learner(home, folder, config).run(lambda: False, once=True)
print("lesson:", learning.jobs()[0]["state"])
for version in learning.bank.alias("default").versions:
    weights = learning.bank.load(version, model=loaded.model)
    print("after:", answer_all(loaded, [question], adapter=weights)[0][-1].content)
