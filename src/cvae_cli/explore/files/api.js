// Questions to the program behind the page. Answers are lines of JSON, each read as soon as it arrives.
export class Refusal extends Error {
  constructor(message, hint) { super(message); this.hint = hint; }
}

const GONE = "the program behind this page has ended";

async function reach(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(GONE, "start it again:  cvae explore");
  }
}

export async function get(address) {
  const answer = await reach(address);
  if (answer.status === 204) return null;
  const content = await answer.json();
  if (!answer.ok) throw new Refusal(content.error, content.hint);
  return content;
}

export async function ask(action, question, hear, signal) {
  const isFile = question instanceof Blob;
  const address = isFile ? `/api/${action}?name=${encodeURIComponent(question.name || "picture")}` : `/api/${action}`;
  const body = isFile ? question : JSON.stringify(question);
  const answer = await reach(address, { method: "POST", body, signal });
  if (!answer.ok) {
    const content = await answer.json().catch(() => ({}));
    throw new Refusal(content.error || `the answer is ${answer.status}`, content.hint);
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(GONE, "start it again:  cvae explore");
    }
    const lines = (rest + (part.value || "")).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const said = JSON.parse(line);
      if (said.error) throw new Refusal(said.error, said.hint);
      hear(said);
    }
    if (part.done) return;
  }
}

// Of many wishes that come while one is being fulfilled, only the last counts: a dragged slider never lags behind.
export function latest(fulfil) {
  let isBusy = false;
  let next = null;
  return async (...wish) => {
    next = wish;
    if (isBusy) return;
    isBusy = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await fulfil(...now);
      }
    } finally {
      isBusy = false;
    }
  };
}
