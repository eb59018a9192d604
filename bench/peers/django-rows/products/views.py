from rest_framework.generics import ListCreateAPIView

from .models import Product
from .serializers import ProductSerializer
from .tenant import current


class ProductList(ListCreateAPIView):
    serializer_class = ProductSerializer

    def get_queryset(self):
        return Product.objects.order_by("name")[:20]

    def perform_create(self, serializer):
        serializer.save(tenant_id=current.get())
