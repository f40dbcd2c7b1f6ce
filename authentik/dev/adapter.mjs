// Storage for oidc-provider in memory, one per provider. (The adapter it brings along is shared by all providers of a process and forgets
// after a thousand entries.)
export function newMemoryAdapter() {
  const stores = new Map();
  const byGrant = new Map();

  return class MemoryAdapter {
    #items;

    constructor(name) {
      this.name = name;
      if (!stores.has(name)) stores.set(name, new Map());
      this.#items = stores.get(name);
    }

    async upsert(id, payload, expiresIn) {
      this.#items.set(id, { payload, expires: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
      if (payload.grantId && this.name !== 'Grant') {
        if (!byGrant.has(payload.grantId)) byGrant.set(payload.grantId, []);
        byGrant.get(payload.grantId).push([this.#items, id]);
      }
    }

    async find(id) {
      const item = this.#items.get(id);
      if (!item) return undefined;
      if (item.expires <= Date.now()) {
        this.#items.delete(id);
        return undefined;
      }
      return item.payload;
    }

    async findByUid(uid) {
      for (const [id, item] of this.#items) if (item.payload.uid === uid) return this.find(id);
      return undefined;
    }

    async findByUserCode() {
      return undefined; // no device flow here
    }

    async consume(id) {
      const item = this.#items.get(id);
      if (item) item.payload.consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
      this.#items.delete(id);
    }

    async revokeByGrantId(grantId) {
      for (const [items, id] of byGrant.get(grantId) ?? []) items.delete(id);
      byGrant.delete(grantId);
    }
  };
}
