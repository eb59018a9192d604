from django.db import models

from .tenant import TenantManager


class Tenant(models.Model):
    id = models.UUIDField(primary_key=True)
    code = models.TextField(unique=True)

    class Meta:
        managed = False
        db_table = "tenants"


class Product(models.Model):
    id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    name = models.TextField()
    code = models.TextField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    added_by = models.UUIDField(null=True)
    added_on = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        managed = False
        db_table = "products"
