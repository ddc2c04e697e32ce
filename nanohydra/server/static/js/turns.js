// The conversation itself: turns, tool chips, the growing answer, troubles and the empty state.
import { edit, retry, send } from "./answers.js";
import { goTo } from "./conversations.js";
import { callText, copy, textOf, turnsOf } from "./format.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { toNodes } from "./markdown.js";
import { Behind, Corrector, Origin } from "./origin.js";
import { set } from "./store.js";

const ENDINGS = {
  length: "cut at the length limit",
  abort: "stopped",
  error: "ended by an error",
};

function Markdown({ text, draft }) {
  const place = useRef();
  const nodes = useMemo(() => toNodes(text, draft), [text, draft]);
  useLayoutEffect(() => place.current.replaceChildren(nodes), [nodes]);
  const onClick = (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copyFrom(button, button.closest(".code").querySelector("code").textContent);
  };
  return html`<div class="md" ref=${place} onClick=${onClick}></div>`;
}

async function copyFrom(button, text) {
  await copy(text);
  set({ said: "Copied" });
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = label), 1400);
}

const CopyButton = ({ text }) =>
  html`<button type="button" onClick=${(event) => copyFrom(event.currentTarget, text)}>Copy</button>`;

function Tool({ call, result }) {
  const wrong = result?.startsWith("error: ");
  return html`<span class=${`tool ${wrong ? "wrong" : ""}`}>
    ${call.function.name} <b>${callText(call)}</b>
    <span class="result">${result === undefined ? "…" : wrong ? result : `= ${result}`}</span>
  </span>`;
}

const Parts = ({ parts, draft }) =>
  parts.map((part, index) =>
    part.call
      ? html`<div key=${index}><${Tool} ...${part} /></div>`
      : html`<${Markdown} key=${index} text=${part.text} draft=${draft} />`,
  );

function UserTurn({ turn, editing, busy }) {
  if (editing) return html`<${Editor} turn=${turn} />`;
  return html`<div class="turn you" role="article" aria-label="You">
    <div class="bubble">${turn.content}</div>
    <div class="foot">
      <${CopyButton} text=${turn.content} />
      ${!busy && html`<button type="button" onClick=${() => set({ editing: turn.index })}>Edit</button>`}
    </div>
  </div>`;
}

function Editor({ turn }) {
  const [text, setText] = useState(turn.content);
  const area = useRef();
  useLayoutEffect(() => {
    area.current.focus();
    area.current.setSelectionRange(text.length, text.length);
  }, []);
  useLayoutEffect(() => grow(area.current), [text]);
  // What stands in the box, which the last drawing may lag behind.
  const submit = (event) => {
    event.preventDefault();
    edit(turn.index, area.current.value);
  };
  const onKeyDown = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      set({ editing: null });
    } else if (isSend(event)) submit(event);
  };
  return html`<div class="turn you">
    <form class="edit" onSubmit=${submit}>
      <textarea ref=${area} rows="1" aria-label="Edit your message" value=${text}
        onInput=${(event) => setText(event.target.value)} onKeyDown=${onKeyDown}></textarea>
      <div class="row">
        <button type="button" class="ghost" onClick=${() => set({ editing: null })}>Cancel</button>
        <button class="solid">Send</button>
      </div>
    </form>
  </div>`;
}

function AnswerTurn({ turn, busy, model, learning, question, correcting }) {
  const { finish_reason: reason, model: writer, dropped_turns: dropped = 0, label } = turn.meta;
  const [open, setOpen] = useState(false);
  return html`<div class="turn said" role="article" aria-label="Answer">
    <${Parts} parts=${turn.parts} />
    <div class="foot">
      ${learning && label
        ? html`<${Origin} meta=${turn.meta} learning=${learning} open=${open} toggle=${() => setOpen(!open)} />`
        : html`<span>${writer ?? model}</span>`}
      ${ENDINGS[reason] && html`<span class="note">${ENDINGS[reason]}</span>`}
      ${dropped > 0 && html`<span class="note">${droppedText(dropped)}</span>`}
      <${CopyButton} text=${textOf(turn)} />
      ${!busy && html`<button type="button" onClick=${() => retry(turn.index)}>Again</button>`}
      ${learning && question && html`<button type="button" onClick=${() => set({ correcting: turn.index })}>Correct and teach</button>`}
    </div>
    ${open && html`<${Behind} meta=${turn.meta} />`}
    ${correcting && html`<${Corrector} turn=${turn} question=${question} said=${textOf(turn)} />`}
  </div>`;
}

const droppedText = (turns) =>
  turns === 1 ? "the oldest turn no longer fitted" : `the oldest ${turns} turns no longer fitted`;

const Growing = ({ run }) =>
  html`<div class="turn said" role="article" aria-label="Answer" aria-busy="true">
    ${run.parts.length === 0 && html`<span class="wait" role="img" aria-label="Thinking"></span>`}
    <${Parts} parts=${run.parts} draft=${true} />
    <div class="foot"></div>
  </div>`;

const TroubleNote = ({ trouble }) =>
  html`<div class="trouble" role="alert">
    <p>${trouble.title}${trouble.detail && html` <small>${trouble.detail}</small>`}</p>
    ${trouble.retry && trouble.again && html`<button class="ghost" onClick=${trouble.again}>Try again</button>`}
    ${!trouble.retry && html`<button class="ghost" onClick=${() => goTo(null)}>New chat</button>`}
  </div>`;

const IDEAS = [
  ["Who are you?", "and what can you do"],
  ["There are 37 boxes with 24 apples in each. How many apples is that?", "uses the calculator"],
  ["Tell me a story about a brave duck.", "a short one"],
  ["Anna has a red kite. Ben has a blue kite. Who has the blue kite?", "reads and answers"],
];

const Empty = () =>
  html`<div class="empty">
    <h2>What shall we talk about?</h2>
    <p>Everything stays on this machine.</p>
    <ul class="chips">
      ${IDEAS.map(
        ([text, note]) => html`<li>
          <button type="button" onClick=${() => send(text)}>${text}<span>${note}</span></button>
        </li>`,
      )}
    </ul>
  </div>`;

export const isSend = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing;

// Makes a text area as high as its text; the style sheet bounds it.
export function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

export function Flow({ state, run }) {
  const place = useRef();
  const [away, setAway] = useState(false);
  const turns = useMemo(() => turnsOf(state.messages), [state.messages]);
  const toEnd = () => place.current.scrollTo({ top: place.current.scrollHeight });
  // A new turn always comes into sight; a growing answer only for who is already at the end.
  useLayoutEffect(toEnd, [state.messages, state.trouble]);
  useLayoutEffect(() => void (!away && toEnd()));
  const onScroll = ({ target }) =>
    setAway(target.scrollHeight - target.scrollTop - target.clientHeight > 60);
  const busy = Boolean(run);
  const model = state.model?.id ?? "";
  const { learning, correcting } = state;
  const asked = (place) => turns.slice(0, place).findLast(({ role }) => role === "user")?.content;
  return html`<div class="middle">
    <div class="flow" ref=${place} onScroll=${onScroll} tabindex="0" role="log" aria-live="off"
      aria-label="Conversation">
      ${turns.length === 0 && !run && !state.trouble && state.current === null && html`<${Empty} />`}
      ${turns.map((turn, place) =>
        turn.role === "user"
          ? html`<${UserTurn} key=${turn.index} turn=${turn} busy=${busy} editing=${state.editing === turn.index} />`
          : html`<${AnswerTurn} key=${turn.index} turn=${turn} busy=${busy} model=${model} learning=${learning}
              question=${asked(place)} correcting=${correcting === turn.index} />`,
      )}
      ${run && html`<${Growing} run=${run} />`}
      ${state.trouble && html`<${TroubleNote} trouble=${state.trouble} />`}
    </div>
    ${away && html`<button class="down" aria-label="Go to the end" onClick=${toEnd}><${Icon} name="down" /></button>`}
  </div>`;
}
