// Switches each guard of guards.json off in a copy of the sources, and sees which tests fail: `node tests/threats/guards.mjs [TEXT …]` tries
// those whose name holds one of the texts, or all; `--record` writes what failed to guards.json. Exits 1 if what is recorded did not fail.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readGuards, readTests } from './coverage.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FILE = fileURLToPath(new URL('guards.json', import.meta.url));
const COPIED = ['Makefile', 'gateway', 'tests', 'scripts', 'authentik', 'deploy', 'policies'];

function copySources() {
  const dir = mkdtempSync(join(tmpdir(), 'repogate-guards-'));
  for (const name of COPIED) {
    cpSync(join(ROOT, name), join(dir, name), { recursive: true, preserveTimestamps: true, filter: (path) => basename(path) !== 'node_modules' });
  }
  for (const modules of ['tests/node_modules', 'authentik/dev/node_modules']) if (existsSync(join(ROOT, modules))) symlinkSync(join(ROOT, modules), join(dir, modules));
  return dir;
}

function run(dir, command, args, env = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: dir, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 600000, env: { ...process.env, ...env } });
  return { status, output: `${stdout}${stderr}` };
}

// `CC="ccache gcc"` in the environment is honoured.
function build(dir, target) {
  const cc = process.env.CC ? [`CC=${process.env.CC}`] : [];
  const { status, output } = run(dir, 'make', ['-s', '-j2', ...cc, target]);
  if (status !== 0) throw new Error(output.slice(-3000));
}

const failedInC = (output) => [...output.matchAll(/^\S+:\d+:[FE]:[^:]*:(\w+):/gm)].map(([, name]) => name);
const failedInTap = (output) => [...output.matchAll(/^ *not ok \d+ - (.*)$/gm)].map(([, name]) => name.replaceAll('\\', ''));

// A name in a source, with ${…} for what is filled in.
function isShownAs(name, shown) {
  const pattern = name.split(/\$\{[^}]*\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*');
  return new RegExp(`(^|: )${pattern}($|:)`).test(shown);
}

// The tests with an id that fail in one file of tests.
function failing(dir, file) {
  const own = readTests().filter((test) => test.file === file && test.ids.length > 0);
  if (file.endsWith('.c')) {
    const program = `build/release/tests/${basename(file, '.c')}`;
    build(dir, program);
    const failed = new Set(failedInC(run(dir, program, []).output));
    return own.filter(({ name }) => failed.has(name));
  }
  build(dir, 'build/repogate');
  const { output } = run(dir, 'node', ['--test', '--test-reporter=tap', `tests/${file}`], { REPOGATE_VARIANT: 'release' });
  const failed = failedInTap(output);
  return own.filter(({ name }) => failed.some((shown) => isShownAs(name, shown)));
}

function tryGuard(dir, guard) {
  const path = join(dir, guard.file);
  const good = readFileSync(path, 'utf8');
  writeFileSync(path, good.replace(guard.on, () => guard.off));
  try {
    return guard.run.flatMap((file) => failing(dir, file)).map(({ file, name }) => `${file}: ${name}`);
  } finally {
    writeFileSync(path, good);
  }
}

const isRecording = process.argv.includes('--record');
const wanted = process.argv.slice(2).filter((text) => text !== '--record');
const guards = readGuards();
const dir = copySources();
let isFine = true;
try {
  for (const guard of guards.filter(({ what }) => wanted.length === 0 || wanted.some((text) => what.includes(text)))) {
    const failed = tryGuard(dir, guard);
    const missing = (guard.fails ?? []).filter((name) => !failed.includes(name));
    if (isRecording) guard.fails = failed;
    const isGood = failed.length > 0 && (isRecording || missing.length === 0);
    isFine = isFine && isGood;
    console.log(`${isGood ? 'noticed' : 'NOT NOTICED'}: ${guard.what}: ${failed.length} tests failed${isGood ? '' : `; missing: ${missing.join(', ')}`}`);
    if (isRecording) writeFileSync(FILE, `[\n${guards.map((one) => `  ${JSON.stringify(one)}`).join(',\n')}\n]\n`);
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
process.exitCode = isFine ? 0 : 1;
