// Starts the page: draws it, connects to the server, and opens what the address bar names.
import { App } from "./app.js";
import { connect } from "./connection.js";
import { follow } from "./conversations.js";
import { html, render } from "./html.js";

render(html`<${App} />`, document.body);
addEventListener("hashchange", follow);
connect();
follow();
