/** CSV (RFC 4180), with a comma, a semicolon or a tab between its fields. */

const SEPARATORS = [",", ";", "\t"];

/**
 * The rows of a text, each a list of fields: `text`, and whether it `isQuoted`. Where no separator is given, it is the
 * one that the first line has most of.
 */
export function fields(given, separator = separatorOf(given)) {
  const text = given.replace(/^\uFEFF/, "");
  const rows = [];
  let row = [];
  // A field: quoted, or without quotes, separators and line ends; and what ends it.
  const field = new RegExp(`(?:"((?:[^"]|"")*)"|([^"${separator}\\r\\n][^${separator}\\r\\n]*|))(${separator}|\\r\\n|\\n|\\r|$)`, "g");
  for (const [, quoted, bare, end] of text.matchAll(field)) {
    row.push({ text: quoted?.replaceAll('""', '"') ?? bare, isQuoted: quoted !== undefined });
    if (end !== separator) {
      rows.push(row);
      row = [];
    }
  }
  return rows.filter((one) => one.length > 1 || one[0].text !== "");
}

function separatorOf(text) {
  const [line] = text.replace(/"(?:[^"]|"")*"/g, "").trimStart().split(/[\r\n]/, 1);
  const counted = SEPARATORS.map((one) => [one, line.split(one).length]);
  return counted.reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}
