// Which test covers which line of threats.json: read from the names of the tests, and written to COVERAGE.md.
// A test says what it covers in front of its name: `START_TEST(A1_A2_believes_…)`, `test('A1, A2: believes …')`, a `describe()` likewise;
// a row of a table by its key: `'B3: dot segments': […]`. A letter alone names a group and covers no line.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const HERE = new URL('.', import.meta.url);
const TESTS = new URL('../', HERE);
const readJson = (name) => JSON.parse(readFileSync(new URL(name, HERE), 'utf8'));

// Groups whose tests have been seen to fail with their guard switched off.
export const GUARDED_GROUPS = ['A', 'B', 'E', 'F', 'H'];

export function readThreats() {
  const { lines, cannot, ...groups } = readJson('threats.json');
  return { lines, cannot, groups };
}

export const readGuards = () => readJson('guards.json');

const ID = '[A-Z]\\d*[a-z]?';
const C_TEST = new RegExp(`^START_TEST\\(((?:${ID}_)*)(\\w+)\\)`, 'gm');
const JS_TEST = new RegExp(`\\b(?:test|describe|describeStand|describeTopologies)\\((['"\`])(${ID}(?:, ${ID})*): (.*?)\\1[,)]`, 'gm');
const JS_ROW = new RegExp(`^\\s*(['"])(${ID}(?:, ${ID})*): (.*?)\\1: `, 'gm');

function testsOfC(file, text) {
  return [...text.matchAll(C_TEST)].map(([, ids, rest]) => ({ file, name: `${ids}${rest}`, ids: ids.split('_').filter(Boolean) }));
}

function testsOfJs(file, text) {
  return [...text.matchAll(JS_TEST), ...text.matchAll(JS_ROW)].map(([, , ids, rest]) => ({ file, name: rest.replaceAll('\\', ''), ids: ids.split(', ') }));
}

export function readTests() {
  const found = [];
  for (const [folder, end, read] of [['unit', '.c', testsOfC], ['integration', '.test.mjs', testsOfJs], ['browser', '.test.mjs', testsOfJs], ['threats', '.test.mjs', testsOfJs]]) {
    const names = readdirSync(new URL(`${folder}/`, TESTS)).filter((name) => name.endsWith(end)).sort();
    for (const name of names) found.push(...read(`${folder}/${name}`, readFileSync(new URL(`${folder}/${name}`, TESTS), 'utf8')));
  }
  return found;
}

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
const named = ({ file, name }) => `${file}: ${name}`;

// For each line: {id, tests, guards, why}. guards: those with whose absence one of its tests was seen to fail.
export function coverage() {
  const { lines, cannot } = readThreats();
  const tests = readTests();
  const guards = readGuards();
  return Object.keys(lines).map((id) => {
    const own = tests.filter(({ ids }) => ids.includes(id));
    const failing = guards.filter(({ fails }) => fails.some((name) => own.some((test) => named(test) === name)));
    return { id, tests: own.map(named), guards: failing.map(({ what }) => what), why: cannot[id] };
  });
}

const needsGuard = ({ id, why }) => GUARDED_GROUPS.includes(id[0]) && why === undefined;

export function totals(rows) {
  return {
    lines: rows.length,
    covered: rows.filter(({ tests, why }) => tests.length > 0 && why === undefined).length,
    cannot: rows.filter(({ why }) => why !== undefined).length,
    'not yet': rows.filter(({ tests, why }) => tests.length === 0 && why === undefined).length,
    'guard not yet tried': rows.filter((row) => needsGuard(row) && row.guards.length === 0).length,
  };
}

const sayTotals = (rows) => Object.entries(totals(rows)).map(([name, count]) => `${count} ${name}`).join(', ');

export function render(rows = coverage()) {
  const { groups, lines } = readThreats();
  let text = '# What could go wrong, and which test would notice\n\n'
    + 'Generated from the names of the tests, `threats.json` and `guards.json` by `node tests/threats/coverage.mjs --write`; not for editing.\n'
    + '*Guard*: what was switched off (`node tests/threats/guards.mjs` does it again), whereupon one of these tests failed.\n\n'
    + `${sayTotals(rows)}.\n`;
  for (const [group, title] of Object.entries(groups)) {
    text += `\n## ${group}. ${title}\n\n| id | what goes wrong | tests | guard |\n|---|---|---|---|\n`;
    for (const { id, tests, guards, why } of rows.filter((row) => row.id[0] === group)) {
      const shown = why === undefined ? tests.map(cell).join('<br>') || '**not yet**' : `cannot apply: ${cell(why)}`;
      text += `| ${id} | ${cell(lines[id])} | ${shown} | ${guards.map(cell).join('<br>')} |\n`;
    }
  }
  return text;
}

export const TABLE = new URL('COVERAGE.md', HERE);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const rows = coverage();
  if (process.argv[2] === '--write') writeFileSync(TABLE, render(rows));
  console.log(sayTotals(rows));
  for (const { id, tests, why } of rows) if (tests.length === 0 && why === undefined) console.log(`${id}: no test`);
  for (const row of rows) if (needsGuard(row) && row.guards.length === 0) console.log(`${row.id}: no guard tried`);
}
