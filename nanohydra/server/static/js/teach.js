// Where a person teaches: sentences, a question with its answer, or files that are chosen or dropped.
import { count } from "./format.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { teach } from "./learning.js";
import { lessonsIn } from "./lesson_text.js";
import { recall, remember } from "./store.js";
import { grow, isSend } from "./turns.js";

const KINDS = [["text", "Text"], ["qa", "Question"], ["file", "File"]];
const FILES = ".txt,.md,.pdf,.jsonl";

// What a press of Teach would do, said before it is done.
function hintOf(text) {
  if (!text.trim()) return "One fact a line, or a whole text.";
  const lessons = lessonsIn(text);
  if (lessons[0].kind === "fact") return count(lessons.length, "fact");
  return `One document of ${count(text.trim().split(/\s+/).length, "word")}`;
}

export function Teach() {
  const [kind, setKind] = useState("text");
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState(null);
  const run = async (what) => {
    setBusy(true);
    const wrong = await teach(what);
    setBusy(false);
    setTrouble(wrong);
  };
  const pick = (next) => () => {
    setKind(next);
    setTrouble(null);
  };
  const Form = { text: TextForm, qa: QuestionForm, file: FileForm }[kind];
  return html`<section class="teach" aria-label="Teach">
    <h2>Teach
      <span class="kinds" role="group" aria-label="What to teach">
        ${KINDS.map(([name, label]) => html`<button type="button" aria-pressed=${kind === name} onClick=${pick(name)}>${label}</button>`)}
      </span>
    </h2>
    <${Form} run=${run} busy=${busy} />
    ${trouble && html`<p class="why" role="alert">${trouble.title} ${trouble.detail}</p>`}
  </section>`;
}

// A box that grows; Enter teaches, Shift+Enter breaks the line.
function Box({ id, label, hint, text, setText, submit }) {
  const area = useRef();
  useLayoutEffect(() => grow(area.current), [text]);
  const onKeyDown = (event) => isSend(event) && submit(event);
  return html`<textarea id=${id} ref=${area} rows="2" aria-label=${label} placeholder=${hint} value=${text}
    onInput=${({ target }) => setText(target.value)} onKeyDown=${onKeyDown}></textarea>`;
}

const Foot = ({ hint, ready }) =>
  html`<div class="row"><small>${hint}</small><button class="solid" disabled=${!ready}>Teach</button></div>`;

function TextForm({ run, busy }) {
  const [text, setText] = useState(() => recall("teaching", ""));
  useEffect(() => remember("teaching", text || null), [text]);
  const submit = (event) => {
    event.preventDefault();
    const given = document.querySelector("#teach").value; // the last drawing may lag behind
    // What was typed in the meantime stays.
    const onTaken = () => setText((text) => (text === given ? "" : text));
    if (given.trim() && !busy) run({ lessons: lessonsIn(given), onTaken });
  };
  return html`<form class="box" onSubmit=${submit}>
    <${Box} id="teach" label="What it should know" hint="Something it should know" ...${{ text, setText, submit }} />
    <${Foot} hint=${hintOf(text)} ready=${text.trim() && !busy} />
  </form>`;
}

function QuestionForm({ run, busy }) {
  const [question, setQuestion] = useState("");
  const [answer, setAnswer] = useState("");
  const ready = question.trim() && answer.trim() && !busy;
  const submit = (event) => {
    event.preventDefault();
    if (!ready) return;
    const onTaken = () => {
      setQuestion("");
      setAnswer("");
    };
    run({ lessons: [{ kind: "qa", question: question.trim(), answer: answer.trim() }], onTaken });
  };
  return html`<form class="box" onSubmit=${submit}>
    <input aria-label="Question" placeholder="When somebody asks…" value=${question} onInput=${({ target }) => setQuestion(target.value)} />
    <${Box} label="Answer" hint="…it should answer" text=${answer} setText=${setAnswer} submit=${submit} />
    <${Foot} hint="" ready=${ready} />
  </form>`;
}

function FileForm({ run, busy }) {
  const input = useRef();
  const [over, setOver] = useState(false);
  const take = async (files) => {
    for (const file of files) await run({ file });
  };
  const onDrop = (event) => {
    event.preventDefault();
    setOver(false);
    take([...event.dataTransfer.files]);
  };
  const onDragOver = (event) => {
    event.preventDefault();
    setOver(true);
  };
  const onChange = async ({ target }) => {
    await take([...target.files]);
    target.value = "";
  };
  return html`<div class=${`drop ${over ? "over" : ""}`} onDrop=${onDrop} onDragOver=${onDragOver} onDragLeave=${() => setOver(false)}>
    <${Icon} name="learn" />
    <p>${busy ? "Reading…" : html`Drop a file here, or <button type="button" onClick=${() => input.current.click()}>choose one</button>`}</p>
    <small>.txt, .md, .pdf or .jsonl</small>
    <input ref=${input} type="file" hidden multiple accept=${FILES} aria-label="File to teach" onChange=${onChange} />
  </div>`;
}
