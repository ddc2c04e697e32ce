// Under an answer: where it came from, the passage that it rests on, and the way to correct it.
import { retry } from "./answers.js";
import { api } from "./api.js";
import { html, useLayoutEffect, useRef, useState } from "./html.js";
import { teach } from "./learning.js";
import { labelOf, learnedOn, numbersOf } from "./lesson_text.js";
import { get, set } from "./store.js";
import { grow, isSend } from "./turns.js";

// Base, or a version; and the lesson as a chip that opens what stands behind the answer.
export function Origin({ meta, learning, open, toggle }) {
  const { lessons = [], sources = [], versions = [] } = meta;
  const label = labelOf(meta, numbersOf(learning.board.timeline));
  const [lesson] = lessons;
  if (!lesson && !sources.length) return html`<span title="Nothing learned was needed">${label}</span>`;
  const words = lesson ? learnedOn(lesson.created) : isWhole(sources[0]) ? "From a lesson" : `From ${sources[0].title}`;
  return html`
    <button type="button" class="chip" aria-expanded=${open} onClick=${toggle}>
      <span class=${`dot ${versions.length ? "" : "hollow"}`}></span><span>${words}</span>
    </button>
    <span title=${versions.join(" ")}>${versions.length ? label : "from memory"}</span>
  `;
}

export const Behind = ({ meta }) =>
  html`<div class="behind">
    ${lessonsBeside(meta).map(({ id, title }) => html`<p key=${id}><small>Lesson</small> ${title}</p>`)}
    ${(meta.sources ?? []).map((source, index) =>
      html`<figure key=${index}>
        <blockquote>${source.text}</blockquote>
        <figcaption>${captionOf(source)}</figcaption>
      </figure>`)}
  </div>`;

// The lessons whose own words are not shown as a source anyway.
const lessonsBeside = ({ lessons = [], sources = [] }) =>
  lessons.filter(({ id }) => !sources.some(({ lesson }) => lesson === id));

// A short lesson is its own title; of a document the place is worth telling.
const isWhole = ({ title, text, start }) => start === 0 && text.startsWith(title.replace(/…$/, ""));

function captionOf(source) {
  const kept = source.from === "weights" ? "Lesson, now in the weights" : "Lesson, from memory";
  return isWhole(source) ? kept : `${source.title}, characters ${source.start} to ${source.end}`;
}

// An answer as it should have been. Enter teaches it, Esc leaves it.
export function Corrector({ turn, question, said }) {
  const [text, setText] = useState(said);
  const [trouble, setTrouble] = useState(null);
  const area = useRef();
  useLayoutEffect(() => {
    area.current.focus();
    area.current.select();
  }, []);
  useLayoutEffect(() => grow(area.current), [text]);
  const close = () => set({ correcting: null });
  const submit = async (event) => {
    event.preventDefault();
    const answer = area.current.value.trim();
    if (!answer) return;
    const { current } = get();
    const onTaken = ({ lessons }) => {
      keep({ question, answer: said, correction: answer, version: turn.meta.version ?? undefined });
      if (get().current !== current) return;
      close();
      const action = () => retry(turn.index);
      if (lessons.length) set({ notice: { text: "Remembered.", label: "Ask again", action } });
    };
    setTrouble(await teach({ lessons: [{ kind: "qa", question, answer }], onTaken }));
  };
  const onKeyDown = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (isSend(event)) submit(event);
  };
  return html`<form class="edit correct" onSubmit=${submit}>
    <label for="correct">What it should have said</label>
    <textarea id="correct" ref=${area} rows="1" value=${text} onInput=${({ target }) => setText(target.value)} onKeyDown=${onKeyDown}></textarea>
    ${trouble && html`<p class="why" role="alert">${trouble.title} ${trouble.detail}</p>`}
    <div class="row">
      <button type="button" class="ghost" onClick=${close}>Cancel</button>
      <button class="solid">Teach this</button>
    </div>
  </form>`;
}

// The correction is also kept as a judgement of the answer; the lesson does not wait for that.
const keep = (body) =>
  api.feedback({ ...body, rating: "down", conversation_id: get().current ?? undefined }).catch(console.warn);
