// Requests that wait until a test lets them go on, so that tests can look at what happens in between without a clock.
const PATIENCE_MS = 15000;

export class Holds {
  #points = new Map(); // name -> { isAnswered, waiting: [{ go, res }] }
  #watchers = new Set();

  /* From now on requests to `name` wait: on arrival, when nothing was done yet, or, with `answered`, when all is done but the answer is not sent. */
  hold(name, { answered = false } = {}) {
    this.#points.set(name, { isAnswered: answered, waiting: this.#points.get(name)?.waiting ?? [] });
  }

  /* How many wait there now. One whose client has gone waits no longer. */
  held(name) {
    return this.#points.get(name)?.waiting.length ?? 0;
  }

  /* Resolves once at least `count` wait. */
  whenHeld(name, count = 1) {
    return this.when(`${count} held at ${name}`, () => this.held(name) >= count);
  }

  /* Lets the oldest `count` go and holds on; without a count all of them, and nobody waits there any more; without a name, everywhere. */
  release(name, count) {
    if (name === undefined) {
      for (const one of [...this.#points.keys()]) this.release(one);
      return;
    }
    const point = this.#points.get(name);
    if (!point) return;
    if (count === undefined) this.#points.delete(name);
    for (const { go } of point.waiting.splice(0, count ?? Infinity)) go();
  }

  /* names: of one request, the most exact first. */
  async pass(names, isAnswered, res) {
    const point = names.map((name) => this.#points.get(name)).find((one) => one?.isAnswered === isAnswered);
    if (!point) return;
    await new Promise((go) => {
      const one = { go };
      point.waiting.push(one);
      res.once('close', () => {
        point.waiting = point.waiting.filter((other) => other !== one);
        go();
      });
      this.notify();
    });
  }

  /* Resolves once `test` holds; it is tried whenever something has happened. */
  when(what, test) {
    if (test()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const watcher = () => {
        if (!test()) return;
        this.#watchers.delete(watcher);
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(watcher);
        reject(new Error(`the provider waited ${PATIENCE_MS} ms for: ${what}`));
      }, PATIENCE_MS);
      this.#watchers.add(watcher);
    });
  }

  notify() {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
