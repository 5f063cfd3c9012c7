// One case at a time. A press is answered here; what was pressed goes to the server as a list that
// is only added to, and stays in the browser until the server says that it has written it.
const KEPT = "misread.reviews";
const SEND_AFTER = 250; // ms
const FIELD = "input, textarea, select, [contenteditable=true], [role=slider], [role=combobox], "
  + "[role=listbox], [role=dialog] *";
const states = new Map();
let stop = () => {};

const stored = () => {
  try { return JSON.parse(localStorage.getItem(KEPT)) ?? []; } catch { return []; }
};
const store = list => {
  try { localStorage.setItem(KEPT, JSON.stringify(list)); } catch { /* private mode */ }
};

const make = (name, text = "", attributes = {}) => {
  const node = document.createElement(name);
  node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

const marked = (parent, pieces) => {
  parent.replaceChildren(...pieces.map(([kind, text]) => make(kind, text)));
};

const identifier = () => "10000000-1000-4000-8000-100000000000".replace(/[018]/g, digit =>
  (digit ^ crypto.getRandomValues(new Uint8Array(1))[0] & 15 >> digit / 4).toString(16));
const begin = scope => ({
  uid: identifier(), sequence: 0, cases: [], seen: new Set(), place: 0, held: new Set(),
  pending: stored().filter(action => action.scope === scope), made: [], timer: 0,
  editing: false, said: "",
});

export default ({data, parentElement, setStateValue}) => {
  const {scope} = data;
  const state = states.get(scope) ?? begin(scope);
  states.set(scope, state);
  const keep = () => store([
    ...stored().filter(action => action.scope !== scope), ...state.pending,
  ]);
  const root = parentElement.querySelector("#review");
  for (const name of ["removed", "added"]) root.style.setProperty(`--${name}`, data[name]);
  const $ = name => root.querySelector(`[data-part=${name}]`);

  for (const one of data.cases) {
    if (state.seen.has(one.key)) continue;
    if (!one.output) { setStateValue("lacking", identifier()); break; }
    state.seen.add(one.key);
    state.cases.push(one);
  }
  const written = new Set(data.written);
  state.pending = state.pending.filter(action => !written.has(action.id));
  keep();

  const send = () => {
    state.timer = 0;
    if (state.pending.length) setStateValue("actions", [...state.pending]);
  };
  const later = () => { state.timer ||= setTimeout(send, SEND_AFTER); };
  const add = action => {
    state.sequence += 1;
    const whole = {id: `${state.uid}-${state.sequence}`, scope, ...action};
    state.pending.push(whole);
    keep();
    later();
    return whole;
  };

  const titles = Object.fromEntries(data.modes.map(mode => [mode.id, mode.title]));
  const current = () => state.cases[state.place];
  const move = by => {
    state.place = Math.max(0, Math.min(state.cases.length, state.place + by));
    state.held.clear();
    state.editing = false;
    draw();
  };
  const judge = (verdict, modes, correction = null) => {
    const one = current();
    if (!one || !data.writable) return;
    const action = add({record: one.key, verdict, modes, correction});
    state.made.push({action, place: state.place});
    one.verdict = verdict === "right" ? "Read right" : modes.map(id => titles[id]).join(", ")
      || "Read wrong";
    state.said = one.verdict;
    move(1);
  };
  const wrong = () => judge("wrong", [...state.held]);
  const give = (number, only) => {
    const mode = data.modes[number];
    if (!mode || !current() || !data.writable) return;
    if (only) {
      state.held.add(mode.id);
      wrong();
    } else {
      if (!state.held.delete(mode.id)) state.held.add(mode.id);
      draw();
    }
  };
  const undo = () => {
    const last = state.made.pop();
    if (!last) return;
    add({undo: last.action.id});
    delete state.cases[last.place].verdict;
    state.place = last.place;
    state.held = new Set(last.action.modes);
    state.said = "Taken back";
    state.editing = false;
    draw();
  };
  const edit = () => {
    const one = current();
    if (!one || !data.writable) return;
    state.editing = true;
    draw();
    const field = $("text");
    field.value = one.correction ?? one.truth_text ?? one.output_text;
    field.focus();
  };
  const save = () => {
    const one = current();
    one.correction = $("text").value;
    if (one.correction === one.output_text) judge("right", [], one.correction);
    else judge("wrong", [...state.held], one.correction);
  };

  const does = {
    ArrowLeft: () => move(-1), ArrowRight: () => move(1),
    y: () => judge("right", []), x: wrong, Enter: () => state.held.size && wrong(),
    e: edit, u: undo,
  };

  const button = (part, action) => { $(part).onclick = action; };
  button("right", does.y);
  button("wrong", does.x);
  button("edit", edit);
  button("undo", undo);
  button("previous", does.ArrowLeft);
  button("next", does.ArrowRight);
  button("save", save);
  button("cancel", () => { state.editing = false; draw(); });

  function draw() {
    const one = current();
    root.classList.toggle("is-done", !one);
    root.classList.toggle("is-editing", state.editing);
    $("done").textContent = data.cases.length || state.pending.length
      ? "Getting more cases…" : data.empty;
    $("problem").textContent = data.problem;
    $("said").textContent = state.said;
    const waits = state.pending.length;
    $("count").textContent = `${state.made.length} reviewed here`
      + (waits ? `, ${waits} not sent yet` : "");
    $("undo").disabled = !state.made.length;
    $("previous").disabled = !state.place;
    for (const part of ["right", "wrong", "edit", "next"]) $(part).disabled = !one;
    for (const part of ["right", "wrong", "edit"]) $(part).disabled ||= !data.writable;
    $("modes").replaceChildren(...data.modes.map((mode, number) => {
      const node = make("button", "", {type: "button", title: mode.definition || mode.title});
      node.append(make("kbd", `${number + 1}`), make("span", mode.title));
      node.setAttribute("aria-pressed", String(state.held.has(mode.id)));
      node.disabled = !one || !data.writable;
      node.onclick = event => give(number, !event.shiftKey);
      return node;
    }));
    root.dataset.record = one?.key ?? "";
    if (!one) return;
    const picture = $("image");
    picture.hidden = !one.image;
    if (one.image) picture.src = one.image;
    picture.alt = one.output_text || "no output";
    $("no-image").textContent = one.image ? "" : one.problem;
    marked($("output"), one.output);
    marked($("truth"), one.truth);
    $("truth-row").hidden = !one.truth.length;
    $("meta").textContent = one.meta;
    $("before").textContent = one.verdict ? `You said: ${one.verdict}` : "";
  }

  const press = event => {
    const target = event.composedPath()[0];
    if (target === $("text")) {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); }
      if (event.key === "Escape") { state.editing = false; draw(); }
      event.stopPropagation();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && event.key !== "ArrowRight"
        && event.key !== "ArrowLeft") return;
    if (target.closest?.(FIELD)) return;
    if (event.key === "Enter" && target.closest?.("button, a")) return;
    const digit = /^Digit([1-9])$|^Numpad([1-9])$/.exec(event.code);
    const action = digit ? () => give(Number(digit[1] ?? digit[2]) - 1, !event.shiftKey)
      : does[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };
  stop(); // data that changes calls this function again, without a word to what it returned
  document.addEventListener("keydown", press, true);
  addEventListener("pagehide", send);
  draw();
  if (state.pending.length) later();
  const mine = () => {
    document.removeEventListener("keydown", press, true);
    removeEventListener("pagehide", send);
  };
  stop = mine;
  return mine;
};
