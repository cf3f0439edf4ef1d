/** What Nextcloud leaves to its administrator after an installation or an upgrade, as words for occ. */
export const REPAIRS = [
  ["db:add-missing-columns"],
  ["db:add-missing-primary-keys"],
  ["db:add-missing-indices"],
  ["maintenance:repair", "--include-expensive"],
];
