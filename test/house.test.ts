// How the house is built: docs/architecture.md says it in words.
import { expect, test } from "vitest";
import { measure } from "./support/house.ts";

const house = measure(".");

test("no file imports itself through others", () => {
  expect(house.circles).toEqual([]);
});

test("rooms lie on each other: no arrow points upwards", () => {
  expect(house.circlesOfRooms).toEqual([]);
});

test("no room holds more than 30 % of the program", () => {
  expect(house.rooms.filter(({ share }) => share > 0.3)).toEqual([]);
  expect(house.rooms.length).toBeGreaterThan(20);
});

test("commands read arguments: at most 100 lines", () => {
  expect(house.longestCommand.lines).toBeLessThanOrEqual(100);
});

test("no two modules have one name", () => {
  expect(house.names).toEqual([]);
});
