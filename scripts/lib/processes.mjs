// Children that never outlive us: each in its own process group, ended by pid when asked, when we exit, and by the kernel if we are killed.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';

const running = new Set();
const SETPRIV = '/usr/bin/setpriv';

function endGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // already gone
  }
}

process.on('exit', () => running.forEach((child) => endGroup(child, 'SIGKILL')));

/* Starts a program. `log` is a file that gets both its outputs; `onLine` sees each line of them. Returns { pid, output(), exited, stop() }. */
export function startChild(command, args, { env = process.env, cwd, log, onLine } = {}) {
  const withDeathSignal = existsSync(SETPRIV) ? [SETPRIV, ['--pdeathsig', 'KILL', '--', command, ...args]] : [command, args];
  const child = spawn(...withDeathSignal, { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const file = log && createWriteStream(log, { flags: 'a' });
  let output = '';
  running.add(child);
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      file?.write(text);
      output = (output + text).slice(-1024 * 1024);
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      lines.forEach((line) => onLine?.(line));
    });
  }
  const exited = new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, error }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  }).then((how) => {
    running.delete(child);
    file?.end();
    return how;
  });
  return {
    pid: child.pid,
    exited,
    output: () => output,
    kill: (signal) => child.kill(signal),
    async stop(signal = 'SIGTERM', patienceMs = 5000) {
      child.kill(signal);
      const timer = setTimeout(() => endGroup(child, 'SIGKILL'), patienceMs);
      const how = await exited;
      clearTimeout(timer);
      endGroup(child, 'SIGKILL');
      return how;
    },
  };
}

/* Runs a program to its end. Rejects with what it printed if it fails. */
export async function run(command, args, options = {}) {
  const child = startChild(command, args, options);
  const { code, error } = await child.exited;
  if (error) throw error;
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${child.output()}`);
  return child.output();
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/* Calls `probe` until it is true. */
export async function waitFor(what, probe, { timeoutMs = 10000, everyMs = 20 } = {}) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/* A reverse proxy, once it listens on that port of 127.0.0.1. */
export async function startFront(name, program, args, { port, ...options }) {
  const child = startChild(program, args, options);
  let isGone = false;
  child.exited.then(() => { isGone = true; });
  await waitFor(name, () => {
    if (isGone) throw new Error(`${name} did not start:\n${child.output()}`);
    return new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.destroy());
      socket.once('error', () => resolve(false)).once('close', (hadError) => resolve(!hadError));
    });
  });
  return { url: `http://127.0.0.1:${port}`, port, pid: child.pid, errorLog: async () => child.output(), close: () => child.stop('SIGTERM', 2000) };
}
