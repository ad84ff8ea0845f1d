// From a route to a query: text, examples, and one condition made of all filters.

const text = (value) => `'${value.replaceAll("'", "''")}'`;
const column = (name) => `"${name.replaceAll('"', '""')}"`;

function rangeConditions(ranges) {
  return Object.entries(ranges).flatMap(([name, { min, max }]) => [
    ...(min === null ? [] : [`${column(name)} >= ${min}`]),
    ...(max === null ? [] : [`${column(name)} <= ${max}`]),
  ]);
}

// Without the chosen words: those are counted by column.
export function base(route) {
  const conditions = route.where.trim() ? [`(${route.where.trim()})`] : [];
  return [...conditions, ...rangeConditions(route.ranges)].join(" AND ") || null;
}

export function condition(route) {
  const words = Object.entries(route.words)
    .filter(([, chosen]) => chosen.length)
    .map(([name, chosen]) => `${column(name)} IN (${chosen.map(text).join(", ")})`);
  return [base(route), ...words].filter(Boolean).join(" AND ") || null;
}

// A ranked list shows the best hit of near-duplicates; a plain one the clip that is kept.
export function toQuery(route, hasVerdicts) {
  const hidesDuplicates = hasVerdicts && !route.all && !isRanked(route) && !route.words.verdict?.length && !route.words.reason?.length;
  const where = [condition(route), hidesDuplicates && "verdict IS DISTINCT FROM 'duplicate'"].filter(Boolean).join(" AND ");
  return {
    text: route.text.trim() || null, like: route.like, minus: route.minus, where: where || null,
    by: route.text.trim() ? route.by : "auto", collapse: !route.all && !hidesDuplicates,
  };
}

export const isRanked = (route) => Boolean(route.text.trim() || route.like.length || route.picture);

export function same(route, other) {
  const keys = ["collection", "text", "like", "minus", "words", "ranges", "where", "by", "all", "picture"];
  return keys.every((key) => JSON.stringify(route[key]) === JSON.stringify(other[key]));
}
