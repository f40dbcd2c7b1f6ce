// The people of the stand-in provider, their groups, and the claims that Authentik's scope mappings would make of them.
import { createHash, timingSafeEqual } from 'node:crypto';

// Membership flows from a group to its parents, as in Authentik.
const GROUP_PARENTS = { admins: ['staff'], developers: ['staff'], staff: [] };

const PEOPLE = [
  { username: 'admin', name: 'Ada Admin', password: 'admin-demo', groups: ['admins'] },
  {
    username: 'dora',
    name: 'Dora Developer',
    password: 'dora-demo',
    appPassword: 'dora-app-password',
    groups: ['developers'],
    attributes: { 'private-repo-access': ['Acme/Vault'] },
  },
  { username: 'dave', name: 'Dave Developer', password: 'dave-demo', appPassword: 'dave-app-password', groups: ['developers'] },
  { username: 'guest', name: 'Gwen Guest', password: 'guest-demo', groups: [] },
  { username: 'ci-bot', name: 'CI robot', appPassword: 'ci-bot-app-password', groups: ['developers'], service: true },
];

// Authentik's default sub mode: a hash of the user's id with the installation's secret.
function subjectOf(username) {
  return createHash('sha256').update(`repogate-dev:${username}`).digest('hex');
}

function sameText(a, b) {
  const digest = (text) => createHash('sha256').update(String(text)).digest();
  return timingSafeEqual(digest(a), digest(b));
}

function withAncestors(groups, parents) {
  const all = [];
  const visit = (name) => {
    if (all.includes(name)) return;
    all.push(name);
    (parents[name] ?? []).forEach(visit);
  };
  groups.forEach(visit);
  return all;
}

export class People {
  #bySub = new Map();

  constructor(extra = []) {
    for (const person of [...PEOPLE, ...extra]) this.add(person);
  }

  add(person) {
    const sub = person.sub ?? subjectOf(person.username);
    this.#bySub.set(sub, {
      email: `${person.username}@example.org`,
      entitlements: [],
      attributes: {},
      service: false,
      active: true,
      ...structuredClone(person),
      sub,
    });
  }

  find(username) {
    return [...this.#bySub.values()].find((person) => person.username === username);
  }

  findBySub(sub) {
    const person = this.#bySub.get(sub);
    return person?.active ? person : undefined;
  }

  update(username, patch) {
    const person = this.find(username);
    if (!person) throw new Error(`no such user: ${username}`);
    Object.assign(person, structuredClone(patch));
    return person;
  }

  login(username, password) {
    return this.#check(username, password, 'password');
  }

  loginApp(username, password) {
    return this.#check(username, password, 'appPassword');
  }

  list() {
    return [...this.#bySub.values()].map((person) => structuredClone(person));
  }

  #check(username, secret, field) {
    const person = this.find(username);
    const right = person?.active && person[field] && sameText(person[field], secret);
    return right ? person : undefined;
  }
}

// What each scope's mapping returns; a claim appears only if its scope was granted.
const MAPPINGS = {
  email: (person) => ({ email: person.email, email_verified: false }),
  profile: (person) => ({
    name: person.name,
    given_name: person.name,
    preferred_username: person.username,
    nickname: person.username,
    groups: [...person.groups], // direct groups only
  }),
  entitlements: (person) => ({ entitlements: [...person.entitlements], roles: [...person.entitlements] }),
  repogate: (person) => ({
    repogate: {
      v: 1,
      groups: withAncestors(person.groups, GROUP_PARENTS),
      attributes: structuredClone(person.attributes),
      service: person.service,
    },
  }),
};

// What a careless or hostile installation makes of the claims. Authentik skips a mapping that raises, without a word to us.
export const CLAIM_FAULTS = {
  groups_missing: ({ groups, repogate, ...rest }) => rest,
  repogate_missing: ({ repogate, ...rest }) => rest,
  repogate_wrong_type: (claims) => ({ ...claims, repogate: 'v1' }),
  repogate_groups_wrong_type: (claims) => ({ ...claims, repogate: { ...claims.repogate, groups: 'admins' } }),
  group_with_separator: (claims) => addGroup(claims, 'x|admins'),
  control_bytes: (claims) => ({ ...addGroup(claims, 'line\r\nX-authentik-groups: admins'), name: 'Nul\u0000 and\r\nX-Evil: 1' }),
};

function addGroup(claims, name) {
  const repogate = claims.repogate && { ...claims.repogate, groups: [...claims.repogate.groups, name] };
  return { ...claims, groups: [...(claims.groups ?? []), name], ...(repogate && { repogate }) };
}

export function claimsFor(person, scope, fault) {
  const claims = {};
  for (const name of scope.split(' ')) Object.assign(claims, MAPPINGS[name]?.(person));
  return fault ? CLAIM_FAULTS[fault](claims) : claims;
}
