// Where a person writes: a box that grows, Send that turns into Stop, and the way to the settings.
import { canSend, send, stop } from "./answers.js";
import { goTeach } from "./aside.js";
import { setMemory } from "./conversations.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { Icon, StopIcon } from "./icons.js";
import { recall, remember, set } from "./store.js";
import { grow, isSend } from "./turns.js";

const WAITING = {
  connecting: "Connecting…",
  loading: "The model is loading…",
  failed: "The model could not be loaded",
  draining: "The server is shutting down",
  gone: "The server cannot be reached",
  locked: "The server wants an API key: see Settings",
};

export function Composer({ state, run }) {
  const [text, setText] = useState(() => recall("draft", ""));
  const area = useRef();
  useLayoutEffect(() => grow(area.current), [text]);
  useEffect(() => remember("draft", text || null), [text]);

  // What stands in the box, which the last drawing may lag behind.
  const submit = (event) => {
    event.preventDefault();
    if (send(area.current.value)) setText((area.current.value = ""));
  };
  const onKeyDown = (event) => isSend(event) && submit(event);
  const stopAndStay = () => {
    stop();
    area.current.focus();
  };
  const hint = WAITING[state.server] ?? (state.learning ? "Ask, or teach something new" : "Ask something");
  return html`<div class="foothold">
    <form class="box" aria-label="Write a message" onSubmit=${submit}>
      <textarea id="input" ref=${area} rows="1" placeholder=${hint} aria-label="Message" value=${text}
        onInput=${(event) => setText(event.target.value)} onKeyDown=${onKeyDown}></textarea>
      <div class="row">
        ${state.learning && html`<button type="button" class="ghost" onClick=${goTeach}>Teach</button>`}
        ${state.learning && html`<${MemorySwitch} memory=${state.memory} />`}
        <button type="button" class="ghost" aria-haspopup="dialog" onClick=${() => set({ panel: "settings" })}>Settings</button>
        ${run
          ? html`<button key="stop" type="button" class="send" aria-label="Stop" title="Stop (Esc)" onClick=${stopAndStay}><${StopIcon} /></button>`
          : html`<button key="send" class="send" aria-label="Send" title="Send (Enter)" disabled=${!canSend() || !text.trim()}><${Icon} name="send" /></button>`}
      </div>
    </form>
  </div>`;
}

function MemorySwitch({ memory }) {
  const on = memory !== "off";
  const title = on ? "Answers may use what is remembered" : "Answers come from the weights alone";
  return html`<button type="button" class="ghost switch" role="switch" aria-checked=${on} title=${title}
    onClick=${() => setMemory(on ? "off" : "auto")}>Memory ${on ? "on" : "off"}</button>`;
}
