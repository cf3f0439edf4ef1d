-- Drops everything in a space's database. It does not use DROP SCHEMA, because a new schema would have another owner,
-- nor DROP OWNED, which would take away the role's right to connect.
SELECT format('DROP %s IF EXISTS %s CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
         WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass)
  FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
 ORDER BY relkind = 'S' \gexec
SELECT format('DROP ROUTINE %s CASCADE', p.oid::regprocedure) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e') \gexec
