// From a place to a question: words, examples, and one condition made of all filters.

const text = (value) => `'${value.replaceAll("'", "''")}'`;
const column = (name) => `"${name.replaceAll('"', '""')}"`;

function ranged(ranges) {
  return Object.entries(ranges).flatMap(([name, { min, max }]) => [
    ...(min === null ? [] : [`${column(name)} >= ${min}`]),
    ...(max === null ? [] : [`${column(name)} <= ${max}`]),
  ]);
}

// Without the chosen words: those are counted by column.
export function base(place) {
  const own = place.where.trim() ? [`(${place.where.trim()})`] : [];
  return [...own, ...ranged(place.ranges)].join(" AND ") || null;
}

export function condition(place) {
  const words = Object.entries(place.words)
    .filter(([, chosen]) => chosen.length)
    .map(([name, chosen]) => `${column(name)} IN (${chosen.map(text).join(", ")})`);
  return [base(place), ...words].filter(Boolean).join(" AND ") || null;
}

// In a ranked list the best hit stands for its near-duplicates; in a plain one the clip that is kept.
export function question(place, isJudged) {
  const bare = isJudged && !place.all && !isRanked(place) && !place.words.verdict?.length && !place.words.reason?.length;
  const where = [condition(place), bare && "verdict IS DISTINCT FROM 'duplicate'"].filter(Boolean).join(" AND ");
  return {
    text: place.text.trim() || null, like: place.like, minus: place.minus, where: where || null,
    by: place.text.trim() ? place.by : "auto", collapse: !place.all && !bare,
  };
}

export const isRanked = (place) => Boolean(place.text.trim() || place.like.length || place.picture);

export function same(one, other) {
  const keys = ["collection", "text", "like", "minus", "words", "ranges", "where", "by", "all", "picture"];
  return keys.every((key) => JSON.stringify(one[key]) === JSON.stringify(other[key]));
}
