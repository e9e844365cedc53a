/**
 * Who uses the page, and what they may do.
 */
import { api, auth } from "./api.js";

const RANK = { viewer: 0, operator: 1, admin: 2 };

class Session extends EventTarget {
  /** @type {{user: string|null, role: string, authentication: boolean} | null} */
  current = null;

  /** Asks the daemon. @returns {Promise<boolean>} whether somebody is logged in */
  async load() {
    try {
      this.#take(await api.get("session", {}, { anonymous: true }));
    } catch (error) {
      if (error.status !== 401) throw error;
      this.#take(null);
    }
    return this.current !== null;
  }

  async login(name, password) {
    this.#take(await api.post("session", { name, password }, { anonymous: true }));
  }

  async logout() {
    await api.delete("session", {}, { anonymous: true });
    this.#take(null);
  }

  /** @param {"viewer"|"operator"|"admin"} role */
  may(role) {
    return this.current !== null && RANK[this.current.role] >= RANK[role];
  }

  #take(session) {
    this.current = session;
    auth.csrf = session?.csrf ?? "";
    this.dispatchEvent(new Event("change"));
  }
}

export const session = new Session();
auth.renew = async () => {
  await session.load();
};
