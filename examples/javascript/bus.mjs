// What every program here needs: a connection, and names as they stand in subjects and keys.
import { connect } from "@nats-io/transport-node";

export const bus = (url) => connect({ servers: url, name: "containerd-bridge example" });

// One token: every byte outside of A-Z a-z 0-9 _ - is = and two hexadecimal digits. A lone - would mean "no container".
export function quoted(name) {
  if (name === "-") return "=2D";
  return [...Buffer.from(name)]
    .map((byte) => {
      const letter = String.fromCharCode(byte);
      return /[A-Za-z0-9_-]/.test(letter) ? letter : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
}

export const place = (...names) => names.map(quoted).join(".");
