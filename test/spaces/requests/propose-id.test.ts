import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { appearance, refuseId } from "../../../spaces/fleet/ids.ts";
import { proposeId, sameName } from "../../../spaces/requests/propose-id.ts";

const propose = (name: string, taken: string[] = [], wished?: string) =>
  proposeId(
    { name, domain: "example.org", ...(wished !== undefined && { wished }) },
    new Map(taken.map((id) => [appearance(id), id])),
  );

test.each([
  ["Les Amis du Lotus", "amis-du-lotus"],
  ["L'Œuvre d'Été", "oeuvre-ete"],
  ["L’Atelier Vélo", "atelier-velo"],
  ["A.M.A.P. du Vallon", "amap-du-vallon"],
  ["Association Jeunesse & Culture", "jeunesse-culture"],
  ["Chorale À Tue-Tête", "chorale-a-tue-tete"],
  ["Ça ira !", "ca-ira"],
  ["1000 Pattes", "asso-1000-pattes"],
  ["Fédération des associations de parents d'élèves du Morbihan", "federation-associations-parents"],
  ["Straße Łódź", "strasse-lodz"],
])("%s gets %s", (name, id) => expect(propose(name).id).toBe(id));

describe("an id that cannot be had", () => {
  test.each([
    ["taken", "Les Amis", ["amis"], "les-amis", ['"amis": it is taken']],
    ["like another", "Lo Tus", ["lotus"], "asso-lo-tus", ['"lo-tus": it looks like "lotus", which is taken']],
    ["reserved", "Support", [], "asso-support", ['"support": it is reserved; choose another']],
    [
      "taken in every form",
      "Lotus",
      ["lotus", "asso-lotus", "lotus-2"],
      "lotus-3",
      ['"lotus": it is taken', '"asso-lotus": it is taken'],
    ],
  ])("because it is %s", (_title, name, taken, id, passedOver) =>
    expect(propose(name, taken)).toEqual({ id, passedOver }),
  );
});

test.each([
  ["lotus", "lotus"],
  ["https://Lotus.example.org/", "lotus"],
  ["Les Lotus", "les-lotus"],
])("the wish %s gets %s", (wished, id) =>
  expect(propose("Les Amis du Lotus", [], wished)).toEqual({ id, passedOver: [] }),
);

test("a wish that cannot be had is said, and the name is used", () =>
  expect(propose("Les Amis du Lotus", ["lotus"], "lotus")).toEqual({
    id: "amis-du-lotus",
    passedOver: ['"lotus": it is taken'],
  }));

test("a name without Latin letters gets none", () => expect(propose("東京").id).toBeUndefined());

test("whatever the name, an id that is proposed is good and free", () =>
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.array(fc.constantFrom("a", "aaa", "asso-a")),
      (name, taken) => {
        const { id } = propose(name, taken);
        if (id === undefined) return;
        expect(refuseId(id)).toBeUndefined();
        expect(taken.map(appearance)).not.toContain(appearance(id));
      },
    ),
  ));

test.each([
  ["Les Amis du Lotus", "amis du lotus"],
  ["Association Les Amis du Lotus", "LES AMIS  DU LÔTUS"],
  ["L'Atelier-Vélo", "Atelier Velo"],
  ["Lotus 10", "lotus lO"],
])("%s and %s are one name", (one, other) => expect(sameName(one)).toBe(sameName(other)));

test.each([
  ["Les Amis du Lotus", "Les Amis de l'Iris"],
  ["東京", "京都"],
])("%s and %s are two names", (one, other) => expect(sameName(one)).not.toBe(sameName(other)));
