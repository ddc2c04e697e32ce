"""Several streams at once, without a server: python examples/stream.py MODEL PROMPT PROMPT"""

import asyncio
import sys

from nanohydra import AsyncLLM, SamplingParams


async def main(model: str, prompts: list[str]) -> None:
    """Write each piece with the number of its prompt, as it comes."""
    params = SamplingParams(max_tokens=32, temperature=0.8, seed=0)
    async with AsyncLLM(model) as llm:

        async def show(number: int, prompt: str) -> str:
            text = ""
            async for output in llm.generate(prompt, params):
                print(f"{number}: {output.delta!r}", file=sys.stderr)
                text = output.text
            return text

        for text in await asyncio.gather(*map(show, range(len(prompts)), prompts)):
            print(repr(text))


if len(sys.argv) < 3:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1], sys.argv[2:]))
