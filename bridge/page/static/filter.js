// Which containers are shown. Words match anywhere; `status:`, `node:`, `namespace:`, `image:`, `label:` match there; `-` excludes.

const FIELDS = {
  status: (row) => [row.status],
  node: (row) => [row.node],
  namespace: (row) => [row.namespace],
  ns: (row) => [row.namespace],
  image: (row) => [row.image ?? ""],
  name: (row) => [row.name ?? "", row.id],
  id: (row) => [row.id],
  exit: (row) => [String(row.exit_status ?? "")],
  label: (row) => labels(row),
};

const EXACT = new Set(["status", "exit"]);

function labels(row) {
  return Object.entries(row.labels ?? {}).map(([key, value]) => `${key}=${value}`);
}

function everything(row) {
  return [row.name ?? "", row.id, row.image ?? "", row.node, row.namespace, row.status, ...labels(row)];
}

export function matcher(text) {
  const wanted = text.trim().toLowerCase().split(/\s+/).filter(Boolean).map(term);
  return (row) => wanted.every((matches) => matches(row));
}

function term(word) {
  const not = word.length > 1 && word.startsWith("-");
  const [, field, rest] = /^([a-z]+):(.*)$/.exec(not ? word.slice(1) : word) ?? [];
  const known = field !== undefined && Object.hasOwn(FIELDS, field);
  const texts = known ? FIELDS[field] : everything;
  const value = known ? rest : not ? word.slice(1) : word;
  const fits = EXACT.has(field) && value ? (text) => text === value : (text) => text.includes(value);
  return (row) => texts(row).some((text) => fits(text.toLowerCase())) !== not;
}
