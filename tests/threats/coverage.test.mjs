// The table of what is covered is whole, and true.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { coverage, readGuards, readTests, readThreats, render, TABLE, totals } from './coverage.mjs';

const ROOT = new URL('../../', import.meta.url);
const AGAIN = 'node tests/threats/coverage.mjs --write';

test('the table is what the names of the tests say', () => {
  assert.equal(readFileSync(TABLE, 'utf8'), render(), AGAIN);
});

test('every line is covered, or names the feature that we do not have', () => {
  assert.deepEqual(coverage().filter(({ tests, why }) => tests.length === 0 && why === undefined).map(({ id }) => id), []);
});

test('every line of the groups that are guarded has a guard that was switched off', () => {
  assert.equal(totals(coverage())['guard not yet tried'], 0, AGAIN);
});

test('no test names a line that is not there', () => {
  const { lines, groups } = readThreats();
  for (const { file, name, ids } of readTests()) {
    for (const id of ids) assert.ok(id in lines || (/^[A-Z]$/.test(id) && id in groups), `${file}: ${name}: ${id}`);
  }
});

test('what excuses a line is a feature that we do not have, and no test says otherwise', () => {
  const { lines, cannot } = readThreats();
  for (const [id, why] of Object.entries(cannot)) {
    assert.ok(id in lines, id);
    assert.match(why, /^we (have|take|write|speak|decrypt|test) /, id);
  }
  for (const { id, tests, why } of coverage()) assert.ok(why === undefined || tests.length === 0, id);
});

test('what a guard names is there: its place in the source, once, and its tests', () => {
  const names = new Set(readTests().map(({ file, name }) => `${file}: ${name}`));
  for (const { what, file, on, off, fails } of readGuards()) {
    assert.equal(readFileSync(new URL(file, ROOT), 'utf8').split(on).length - 1, 1, `${what}: ${file}: ${on}`);
    assert.notEqual(on, off, what);
    assert.ok(fails.length > 0, what);
    for (const name of fails) assert.ok(names.has(name), `${what}: ${name}`);
  }
});
