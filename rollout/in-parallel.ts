/** Calls `act` for each item, at most `size` at once. Resolves to the results in the order of the items. */
export async function inParallel<Item, Result>(
  size: number,
  items: readonly Item[],
  act: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = [...items.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) results[next[0]] = await act(next[1]);
  };
  await Promise.all(Array.from({ length: size }, work));
  return results;
}
