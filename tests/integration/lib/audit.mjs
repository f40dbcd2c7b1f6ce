// Proves an audit log from its bytes: every line is valid by the schema, and the chain holds.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv/dist/2020.js';

const LINE_MAX = 16 * 1024;
const ZEROES = '0'.repeat(64);
const schema = JSON.parse(readFileSync(fileURLToPath(new URL('../../../gateway/audit/schema.json', import.meta.url)), 'utf8'));
const validate = new Ajv({ allErrors: true, strict: false }).compile(schema);

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseLine(bytes, number) {
  let line;
  try {
    line = JSON.parse(utf8.decode(bytes));
  } catch (error) {
    assert.fail(`line ${number} is no JSON: ${error.message}: ${bytes.toString('latin1').slice(0, 300)}`);
  }
  if (!validate(line)) {
    const why = validate.errors.map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`).join('; ');
    assert.fail(`line ${number} is not valid: ${why}: ${bytes.toString().slice(0, 900)}`);
  }
  assert.ok(bytes.length < LINE_MAX, `line ${number} has ${bytes.length} bytes`);
  return line;
}

/* Checks the files of a log, oldest first, from the first line of its first boot, and returns the lines. */
export function proveLog(...files) {
  const lines = [];
  const ends = new Map(); // boot -> digest and number of its latest line
  for (const file of files) {
    const bytes = readFileSync(file);
    assert.ok(bytes.length === 0 || bytes.at(-1) === 0x0a, `${file} ends with a whole line`);
    for (let from = 0; from < bytes.length;) {
      const to = bytes.indexOf(0x0a, from);
      const text = bytes.subarray(from, to);
      const line = parseLine(text, lines.length + 1);
      const end = ends.get(line.boot) ?? { digest: ZEROES, seq: 0 };
      assert.equal(line.prev, end.digest, `line ${lines.length + 1} does not follow the one before`);
      assert.equal(line.seq, end.seq + 1, `line ${lines.length + 1} counts on`);
      ends.set(line.boot, { digest: createHash('sha256').update(text).digest('hex'), seq: line.seq });
      lines.push(line);
      from = to + 1;
    }
  }
  const ids = lines.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, 'every id once');
  return lines;
}

/* The log of a stand, as it is when the stand goes. */
export function proveStand(stand) {
  if (stand && existsSync(stand.auditFile)) proveLog(...(stand.auditFiles ?? []), stand.auditFile);
}
