-- Which of the files under products/<id> is the picture.
ALTER TABLE products ADD COLUMN picture uuid;
