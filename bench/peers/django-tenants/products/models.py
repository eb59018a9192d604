import uuid

from django.db import models


class Product(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.TextField()
    code = models.TextField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    added_by = models.UUIDField(null=True)
    added_on = models.DateTimeField()

    class Meta:
        db_table = "products"
        constraints = [models.UniqueConstraint(fields=["code"], name="products_code")]
        indexes = [models.Index(fields=["name", "id"], name="products_name")]
