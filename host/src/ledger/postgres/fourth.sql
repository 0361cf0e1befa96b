-- A program that hands tasks over needs no rights to the tables, where it could read what others handed over, and what came
-- of it: the function does its work with those of whoever made it. Its names of tables have their schema; whatever else it
-- names is looked for among the database's own only.
ALTER FUNCTION @host_enqueue SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION @host_enqueue FROM PUBLIC;
