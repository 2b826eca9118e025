// What pages do by themselves: parts that change, uploads, copying. Every page can be read and every
// content deleted without this.
"use strict";

const FILES_AT_ONCE = 3;
const TRIES = 3;
const PAUSE_MS = 1000;

/** Makes `from` look like `to`, and touches only what differs: focus and selection stay. */
function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to);
    return;
  }
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  const old = [...from.childNodes];
  const fresh = [...to.childNodes];
  fresh.forEach((child, place) => {
    if (place < old.length) morph(old[place], child);
    else from.append(child);
  });
  old.slice(fresh.length).forEach((child) => child.remove());
}

/** The element that a text of HTML is; the text comes from this service alone. */
function element(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

/** Events of the service; while it does not answer, the page says that it may be old. */
function watch(url) {
  const source = new EventSource(url);
  source.onerror = () => {
    document.body.dataset.connection = "lost";
    // After another answer than events, a browser does not ask again by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
  source.onopen = () => { delete document.body.dataset.connection; };
  return source;
}

/** Shows a part; on a page that has not all of it, what there is. */
function show(id, fresh) {
  const present = document.getElementById(id);
  if (present) morph(present, fresh);
  else for (const part of fresh.querySelectorAll("[id]")) if (document.getElementById(part.id)) show(part.id, part);
}

/** Parts that change: a list of [id, HTML]. */
function live(root) {
  const source = watch(root.dataset.live);
  source.onmessage = (event) => {
    for (const [id, html] of JSON.parse(event.data)) show(id, element(html));
  };
}

/** Rows of the operation log, the newest first. */
function follow(root) {
  const body = document.getElementById("operations");
  let begun = false;
  const source = watch(root.dataset.log);
  source.onmessage = (event) => {
    const template = document.createElement("template");
    template.innerHTML = `<table><tbody>${event.data}</tbody></table>`;
    for (const row of [...template.content.querySelectorAll("tr")].reverse()) {
      if (body.querySelector(`[data-record="${row.dataset.record}"]`)) continue;
      if (begun) row.classList.add("fresh");
      body.prepend(row);
    }
    begun = body.rows.length > 0;
    while (body.rows.length > 200) body.lastElementChild.remove();
    document.getElementById("quiet").hidden = body.rows.length > 0;
  };
}

/** Asks again for a part of the page, as long as somebody looks. */
function refresh(root) {
  setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch(root.dataset.refresh).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const fresh = element(`<div id="${root.id}">${await answer.text()}</div>`);
    fresh.dataset.refresh = root.dataset.refresh;
    morph(root, fresh);
  }, 10000);
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${bytes.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

/** Says how many are stored: of all that changes there, a screen reader tells this. */
function tally() {
  const count = (css) => document.querySelectorAll(`#transfers > ${css}`).length;
  const failures = count(".failed");
  const said = `${count(".done")} of ${count(".transfer")} stored`;
  document.getElementById("stored").textContent = failures ? `${said}, ${failures} failed` : said;
}

/** One file's line on the page. */
function line(file, target) {
  const root = element('<div class="transfer waits"><span class="what"></span><span class="how"></span><progress max="1" value="0"></progress></div>');
  root.querySelector(".what").textContent = file.name;
  root.querySelector(".how").textContent = `${size(file.size)}, waits`;
  cancels(root, () => failed(file, target, root, CANCELLED));
  document.getElementById("transfers").append(root);
  tally();
  return root;
}

/** The line of a folder, of which nothing is sent. */
function refuse(name, why) {
  const root = element('<div class="transfer failed"><span class="how"></span></div>');
  root.querySelector(".how").textContent = `${name}: ${why}`;
  document.getElementById("transfers").append(root);
  tally();
}

const CANCELLED = { message: "it was cancelled" };

const CHANGED = "somebody else has changed this content meanwhile. Look at what is there now, and replace that if you still want to";

/** Gives a file's line the button that gives it up. */
function cancels(shown, cancel) {
  shown.querySelector("button")?.remove();
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Cancel";
  button.onclick = cancel;
  shown.querySelector("progress").before(button);
}

/** Answers after which nothing was stored: each further try is another content. */
const NOT_STORED = ["catalog_unavailable", "no_leader", "no_node", "overloaded", "shard_closed", "storage_full", "wrong_node"];

/** Sends a file; resolves with its receipt. The target has an address and, where a certain version is to be
 * replaced, that one's ETag. */
function send(file, target, shown) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", target.url);
    if (target.match) request.setRequestHeader("if-match", target.match);
    if (file.type) request.setRequestHeader("content-type", file.type);
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      shown.querySelector("progress").value = event.total ? event.loaded / event.total : 1;
      shown.querySelector(".how").textContent = `${size(event.loaded)} of ${size(file.size)}`;
    };
    request.onload = () => {
      const body = request.response;
      if (request.status === 200) resolve(body);
      else if (request.status === 412) reject({ changed: true, message: CHANGED });
      else reject({ again: NOT_STORED.includes(body?.code), message: body?.message ?? `The service answered ${request.status}` });
    };
    request.onerror = () => reject({ again: false, message: "The connection was lost; it may be stored all the same" });
    request.onabort = () => reject(CANCELLED);
    cancels(shown, () => request.abort());
    // All of it is there: it is stored now, or for another reason is not.
    request.upload.onload = () => shown.querySelector("button")?.remove();
    request.send(file);
  });
}

/** Sends a file until it is stored, or for good reason is not. */
async function transfer(file, target, shown) {
  sending += 1;
  try {
    return await attempts(file, target, shown);
  } finally {
    sending -= 1;
  }
}

async function attempts(file, target, shown) {
  shown.className = "transfer";
  tally();
  for (let tried = 1; ; tried += 1) {
    try {
      const receipt = await send(file, target, shown);
      shown.classList.add("done");
      shown.querySelector("progress").remove();
      shown.querySelector("button")?.remove();
      const how = shown.querySelector(".how");
      how.textContent = receipt.degraded ? "stored, on fewer nodes than usual" : `stored on ${receipt.nodes.join(", ")}`;
      const link = document.createElement("a");
      link.href = `/console/contents/${receipt.id}`;
      link.textContent = file.name;
      shown.querySelector(".what").replaceChildren(link);
      tally();
      return receipt;
    } catch (error) {
      if (error.again && tried < TRIES) {
        shown.querySelector(".how").textContent = "once more";
        shown.querySelector("button")?.remove();
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tried));
        continue;
      }
      failed(file, target, shown, error);
      return null;
    }
  }
}

function failed(file, target, shown, { message, changed }) {
  shown.className = "transfer failed";
  shown.querySelector("button")?.remove();
  const how = shown.querySelector(".how");
  how.textContent = `Not stored: ${message}. `;
  const again = document.createElement("button");
  again.type = "button";
  again.textContent = changed ? "Show it" : "Try again";
  again.onclick = () => { if (changed) location.reload(); else transfer(file, target, shown); };
  how.append(again);
  tally();
}

/** Files are under way: whoever leaves the page is asked first. */
let sending = 0;
addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });

/** Takes files that are dropped on the page or chosen in an element. A page would else be left for a file
 * that is dropped beside the element, and with it all that is under way. */
function takes(root, take) {
  const input = root.querySelector("input[type=file]");
  input.onchange = () => {
    take([...input.files], []);
    input.value = "";
  };
  addEventListener("dragover", (event) => {
    event.preventDefault();
    root.classList.add("over");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("over");
    take(...dropped(event.dataTransfer));
  });
}

/** The files that were dropped, and the names of the folders: a browser sends none as a file. */
function dropped(data) {
  if (!data.items?.length) return [[...data.files], []];
  const files = [];
  const folders = [];
  for (const item of [...data.items].filter((item) => item.kind === "file")) {
    const entry = item.webkitGetAsEntry?.();
    if (entry?.isDirectory) folders.push(entry.name);
    else files.push(item.getAsFile());
  }
  return [files, folders];
}

function uploads(root) {
  const waiting = [];
  let under_way = 0;
  const next = async () => {
    if (under_way >= FILES_AT_ONCE || !waiting.length) return;
    const [file, target, shown] = waiting.shift();
    under_way += 1;
    // One that was cancelled meanwhile, and may have been tried again, waits no more.
    if (shown.classList.contains("waits")) await transfer(file, target, shown);
    under_way -= 1;
    next();
  };
  takes(root, (files, folders) => {
    for (const name of folders) refuse(name, "it is a folder; client upload -r takes it");
    for (const file of files) {
      const target = { url: `${root.dataset.upload}?filename=${encodeURIComponent(file.name)}&size=${file.size}` };
      waiting.push([file, target, line(file, target)]);
    }
    for (let slot = 0; slot < FILES_AT_ONCE; slot += 1) next();
  });
}

/** Asks whether a file shall take the place of what is there. */
function agreed(question, file) {
  question.querySelector(".by").textContent = file.name;
  question.returnValue = "";
  question.showModal();
  return new Promise((resolve) => {
    question.onclose = () => resolve(question.returnValue === "replace");
  });
}

function updates(root) {
  const question = document.getElementById("question");
  takes(root, async (files, folders) => {
    if (question.open) return;
    for (const name of folders) refuse(name, "it is a folder; only a file can be put here");
    if (files.length > 1) return files.forEach(({ name }) => refuse(name, "only one file can be put here"));
    const [file] = files;
    if (!file || !await agreed(question, file)) return;
    const url = `${root.dataset.update}?filename=${encodeURIComponent(file.name)}`;
    const target = { url, match: root.dataset.match };
    const receipt = await transfer(file, target, line(file, target));
    if (receipt) location.reload();
  });
}

async function copy(button) {
  const text = document.getElementById(button.dataset.copy).textContent;
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = said; }, 1500);
}

document.querySelectorAll("[data-live]").forEach(live);
document.querySelectorAll("[data-log]").forEach(follow);
document.querySelectorAll("[data-refresh]").forEach(refresh);
document.querySelectorAll("[data-upload]").forEach(uploads);
document.querySelectorAll("[data-update]").forEach(updates);
document.querySelectorAll("[data-copy]").forEach((button) => { button.onclick = () => copy(button); });
